"""Memory of an iteration of Qwen2.5-0.5B's shape against its plan, and that it goes on from its checkpoint.

Random weights over Qwen2's own vocabulary: a rollout, its scores, one update, saved; then the same command with another iteration goes
on from there. What counts is the greatest memory of a process, without pages of files, which the system takes back where it is short:
of `policy=local` the one that does everything, of `policy=openrlhf` the trainer's, which is measured where OpenRLHF is installed
(.venv-cluster).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, Skipped, close_to, say
from pipelines.planning.memory import GIB
from pipelines.policies.openrlhf.planning.assumptions import ASSUMED

TOLERANCE = 0.2
# OpenRLHF's plan on a CPU counts vLLM's process with the trainer's: these parts, and what any process takes.
_OF_VLLM = ("vLLM weights", "vLLM workspace", "KV cache")
_LOOK_S = 0.2
# Answers of random weights end nowhere, so that episodes are as long as they may be, which is what the plan reckons with.
_OVERRIDES = (
    "scale=single", "benchmark=deepsearch", "data.train=30", "data.test=12", "tracker=[]", "warm_start=null", "training.tasks=1",
    "training.group_size=2", "training.minibatch_size=2", "training.micro_batch_tokens=672", "rollout.max_context_tokens=640",
    "rollout.max_action_tokens=32", "benchmark.max_steps=3", "evaluation.games=1", "evaluation.every=100",
)  # fmt: skip
_OPENRLHF = (
    "policy=openrlhf", "cluster@policy.cluster=laptop", "policy.cluster.gpu.memory_gib=23", "policy.cluster.memory_fraction=0.13",
    "policy.cluster.checkpoint_activations=true", "policy.cluster.logits_chunk_tokens=256", "policy.cluster.host_memory_gib=24",
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """One of training the model. ``overrides`` beside the common ones."""

    name: str
    overrides: tuple[str, ...]


LOCAL = (Way("local", ()), Way("local, LoRA", ("training.adapter=lora",)))
OPENRLHF = (Way("openrlhf", (*_OPENRLHF, "training.kl_coefficient=0")),)


def bench_memory() -> list[Row]:
    """A row per way of training: the plan's GiB and the measured ones."""
    ways = OPENRLHF if find_spec("openrlhf") else LOCAL
    with tempfile.TemporaryDirectory() as folder:
        model = _model(Path(folder) / "model")
        return [_row(way, model, Path(folder) / f"way{number}") for number, way in enumerate(ways)]


def _model(folder: Path) -> Path:
    if find_spec("qwen_agent") is None:
        raise Skipped("Qwen2's vocabulary is missing: make setup-real")
    from tests.policies.genuine import half_billion

    return half_billion(folder)


def _row(way: Way, model: Path, folder: Path) -> Row:
    folder.mkdir()
    overrides = [*_OVERRIDES, *way.overrides, f"model.pretrained={model}"]
    planned = planned_gib(overrides)
    peak, seconds = _launch([*overrides, "training.iterations=1"], folder)
    _, again = _launch([*overrides, "training.iterations=2"], folder)
    updates = len(list((folder / "artifacts" / "update").glob("[!.]*")))
    note = f"{seconds:.0f} s for set-up, an iteration and two evaluations; {again:.0f} s for another iteration from its checkpoint"
    say(f"{way.name}: {peak:.2f} GiB, planned {planned:.2f}; {note}")
    name = f"memory of an iteration of Qwen2.5-0.5B's shape, {way.name}"
    return close_to(name, [(planned, peak)], TOLERANCE, "GiB", identical=updates == 2, note=note)


def planned_gib(overrides: list[str]) -> float:
    """Of the process that trains."""
    from flows.configure.compose import compose

    experiment = compose(overrides).experiment
    plan: Any = experiment.policy.plan(experiment)
    of_another = _OF_VLLM if hasattr(plan, "generation") else ()
    most = max(sum(size for part, size in phase.parts.items() if part not in of_another) for phase in plan.phases)
    return float(most) / GIB - (ASSUMED.process_gib if of_another else 0.0)


def _launch(overrides: list[str], folder: Path) -> tuple[float, float]:
    """The greatest memory of one of its processes, in GiB, and the seconds that it took."""
    import psutil

    start, peaks = time.perf_counter(), dict[int, float]()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-m", "flows", *overrides], cwd=folder, env=environment) as launched:
        while launched.poll() is None:
            for process in (launch := psutil.Process(launched.pid)), *launch.children(recursive=True):
                peaks[process.pid] = max(peaks.get(process.pid, 0.0), _own_gib(process.pid))
            time.sleep(_LOOK_S)
    if launched.returncode:
        raise RuntimeError(f"the run ended with exit code {launched.returncode}, see above")
    return max(peaks.values()), time.perf_counter() - start


def _own_gib(pid: int) -> float:
    """The memory of a process that is no file's; 0: it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024 / GIB for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
