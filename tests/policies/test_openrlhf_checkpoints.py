"""A checkpoint of DeepSpeed's is read without running what stands in it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster


class Attack:
    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (os.environ["MARK"], "w")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    from pipelines.policies.openrlhf import patches

    for name, value in patches.WITHOUT_GPU.items():
        monkeypatch.setenv(name, value)
    from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine

    monkeypatch.setattr(TorchCheckpointEngine, "load", TorchCheckpointEngine.load)  # back to it afterwards
    patches.checkpoints_run_no_code()
    return TorchCheckpointEngine()


def test_what_deepspeed_writes_is_read(engine: Any, tmp_path: Path) -> None:
    import torch
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    state = {
        "weights": torch.arange(4.0), "loss_scaler": LossScaler(1.0), "zero_stage": ZeroStageEnum(2), "step": 3,
        "param_slice_mappings": {"a": fragment_address(numel=4, start=0)},
    }  # fmt: skip
    engine.save(state, str(tmp_path / "states.pt"))
    found = engine.load(str(tmp_path / "states.pt"), map_location="cpu")
    assert found["weights"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert found["param_slice_mappings"]["a"] == fragment_address(numel=4, start=0)
    assert (found["zero_stage"], found["step"], found["loss_scaler"].cur_scale) == (2, 3, 1.0)


@pytest.mark.parametrize("plain", [True, False], ids=["a pickle", "in torch's form"])
def test_no_code_of_a_checkpoint_runs(
    engine: Any, tmp_path: Path, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "code ran"
    monkeypatch.setenv("MARK", str(mark))
    if plain:
        (tmp_path / "states.pt").write_bytes(pickle.dumps(Attack()))
    else:
        engine.save({"optimizer": Attack()}, str(tmp_path / "states.pt"))
    with pytest.raises(pickle.UnpicklingError, match=r"states\.pt holds"):
        engine.load(str(tmp_path / "states.pt"), map_location="cpu")
    assert not mark.exists()
