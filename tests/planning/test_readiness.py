"""Before a launch: one clear error where GPUs, engines or memory are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.compose import compose
from pipelines.errors import ConfigError
from pipelines.planning.readiness import check_fits, check_machine, gpus_here
from tests.planning.cells import LARGE, SMALL, planned


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose nvidia-smi lists four GPUs."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\nfor i in 0 1 2 3; do echo "GPU $i: NVIDIA A100-SXM4-80GB (UUID: GPU-$i)"; done\n')
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("CUDA_VISIBLE_DEVICES", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_gpus_are_counted(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpus_here() == 4
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    assert gpus_here() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus_here() == 0
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (machine / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    assert gpus_here() == 0
    (machine / "nvidia-smi").unlink()
    assert gpus_here() == 0


def said(model: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_machine(planned(model, *overrides).experiment)
    return str(caught.value)


def test_no_gpu_is_said(machine: Path) -> None:
    (machine / "nvidia-smi").unlink()
    message = said(SMALL)
    assert message.startswith("paper-qwen2.5-1.5b needs 4 GPUs, and this machine has no GPU: launch it where they are")
    assert "plan=true" in message


def test_too_few_gpus_are_said(machine: Path) -> None:
    assert "needs 8 GPUs, and this machine has 4" in said(SMALL, "policy.cluster.gpus_per_node=8")


def test_nodes_need_a_ray(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "needs 32 GPUs in 4 nodes and a Ray that spans them, and this machine has 4" in said(LARGE)
    assert "OpenRLHF" in said(LARGE, "policy.cluster.ray_address=auto")  # Ray knows its GPUs: the next check speaks
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert "OpenRLHF" in said(LARGE)


def test_missing_engines_are_said(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.planning.readiness.find_spec", lambda name: None)
    assert said(SMALL).startswith(
        "policy=openrlhf needs OpenRLHF, which is not installed beside this Python: make setup-cl"
    )
    with pytest.raises(ConfigError, match="needs OpenRLHF"):
        check_machine(compose(["policy=openrlhf"]).experiment)
    monkeypatch.setattr("pipelines.planning.readiness.find_spec", lambda name: object())
    check_machine(planned(SMALL).experiment)
    check_machine(compose([]).experiment)


def test_what_does_not_fit_is_not_started() -> None:
    check_fits(planned(SMALL).experiment)
    check_fits(compose([]).experiment)
    with pytest.raises(
        ConfigError, match=r"^paper-alfworld-qwen2.5-1.5b-grpo-full does not fit: .*; plan=true has the numb"
    ):
        check_fits(planned(SMALL, "policy.cluster.gpu.memory_gib=4").experiment)
