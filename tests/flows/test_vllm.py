"""``policy=vllm`` in a run: genuine games evaluated by both engines, and any Hugging Face folder evaluated."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.configure.compose import compose
from pipelines.experiment import is_finished, run_experiment
from tests.pipelines.runs import Quiet

pytestmark = pytest.mark.cluster
GREEDY = [
    "scale=smoke", "training.iterations=0", "evaluation.games=6", "evaluation.temperature=0", "benchmark.max_steps=6",
    "execution.progress=false",
]  # fmt: skip
VLLM = ["policy=vllm", "policy.dtype=float32"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vllm")


def evaluation(root: Path, *overrides: str) -> list[dict[str, object]]:
    folders = [f"execution.runs={root / 'runs'}", f"execution.artifacts={root / 'artifacts'}"]
    config = compose([*GREEDY, *overrides, *folders])
    folder = run_experiment(config, Quiet())
    assert is_finished(config)
    (table,) = (folder / "results").glob("evaluation*.parquet")
    rows: list[dict[str, object]] = pq.read_table(table).to_pylist()
    return rows


def test_both_engines_play_the_same_games_the_same_way(root: Path) -> None:
    """The same imitated stand-in, greedy: every task's steps, invalid actions and outcome are equal."""
    here, there = evaluation(root), evaluation(root, *VLLM)
    assert here == there
    assert len(here) == 6


def test_any_folder_is_evaluated(root: Path) -> None:
    """The imitated stand-in once more, as a model from elsewhere, and with one step per row."""
    imitated = evaluation(root, *VLLM)
    (folder,) = (root / "artifacts" / "warm_start").glob("[!.]*/model")
    elsewhere = ["model.weights=pretrained", f"model.pretrained={folder}", "warm_start=null"]
    assert evaluation(root, *VLLM, *elsewhere) == imitated
    assert evaluation(root, *VLLM, *elsewhere, "benchmark.prompt.history=2", "policy.dtype=bfloat16")
