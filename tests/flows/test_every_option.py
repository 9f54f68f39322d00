"""Every option of every group that a run can be made of, run for one iteration on genuine tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.configure.compose import CONF, compose
from pipelines.config import StandIn
from pipelines.experiment import is_finished, run_experiment
from pipelines.policies import make_stand_in
from tests.pipelines.runs import Quiet

SMALL = [
    "scale=smoke", "training.iterations=1", "evaluation.every=9", "evaluation.games=6", "benchmark.max_steps=2",
    "rollout.max_action_tokens=8", "warm_start=null", "execution.progress=false",
]  # fmt: skip
COOKED = ["data.train=2", "data.valid=1", "data.test=0", "evaluation.games=1"]  # a game takes seconds to compile
GENERATED = ["data.train=6", "data.valid_unseen=6", "data.receptacles=3", "data.object_types=2"]
ENGINES = ("openrlhf", "vllm")  # not installed here: tests/flows/test_vllm.py
# Scored without a run of their own in tests/pipelines/test_credit_settings.py; graft, otb and aem stand for them here.
SCORED = ("gigpo", "hgpo", "graphgpo", "graphhca", "salt", "rtmc")
OPTIONS = sorted(
    f"{group}={path.stem}"
    for group in ("algorithm", "benchmark", "empg", "model", "policy")
    for path in (CONF / group).glob("*.yaml")
    if path.stem not in (*ENGINES, *SCORED)
    and "# its stand-in" not in path.read_text()  # which runs as its own model's
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("options")  # one store: the games are made once


def run(root: Path, overrides: list[str], small: list[str] = SMALL) -> Quiet:
    config = compose(
        [*small, *overrides, f"execution.runs={root / 'runs'}", f"execution.artifacts={root / 'artifacts'}"]
    )
    observer = Quiet()
    run_experiment(config, observer)
    assert is_finished(config)
    return observer


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_runs(root: Path, option: str) -> None:
    fewer = ["algorithm.max_generation_batches=2"] if option == "algorithm=dapo" else []
    own = {"benchmark=cooking": COOKED, "benchmark=webshop": [], "benchmark=deepsearch": []}
    observer = run(
        root, [*own.get(option, GENERATED), option, *fewer, f"seed={OPTIONS.index(option)}"]
    )  # the defaults are options too
    assert ("update", 0) in observer.stages
    assert observer.said[1]["rollout/episodes"] >= 4


def test_one_device_trains_a_folder(root: Path, tmp_path: Path) -> None:
    """scale=single as a user asks for it, but for the sizes: warm start and an iteration of a model that others made."""
    made = StandIn(hidden_size=32, layers=1, heads=1, kv_heads=1, mlp=32, context_length=4096)
    make_stand_in(made, ["Your task is to: put a mug in desk 1. <think>go on</think>"], tmp_path)
    small = [value for value in SMALL if not value.startswith(("scale=", "warm_start="))]
    few = ["training.tasks=2", "training.group_size=2", "warm_start.episodes=2", "rollout.max_context_tokens=null"]
    observer = run(
        root,
        [*GENERATED[1:], "data.train=4", "data.valid_seen=6", *few, "scale=single", f"model.pretrained={tmp_path}"],
        small,
    )
    assert ("update", 0) in observer.stages


def test_real_data_runs(root: Path) -> None:
    """The generated games have the real data's layout: read as such, they are the same panels."""
    made = run(root, [*GENERATED, "seed=99"])
    (games,) = [path.parent for path in (root / "artifacts" / "data").glob("*/json_2.1.1") if _trains(path) == 6]
    read = run(root, ["data=real", f"data.root={games}", "seed=99"])
    assert read.said[1]["rollout/reward"] == made.said[1]["rollout/reward"]


def _trains(games: Path) -> int:
    return len(list((games / "train").glob("*/*/game.tw-pddl")))
