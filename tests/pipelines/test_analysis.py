"""The analysis of a finished run: what it says of the policy, recomputed; which trajectories it keeps; where it is absent."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from pipelines.artifacts import ArtifactStore
from pipelines.experiment import run_experiment
from pipelines.files import read_json
from pipelines.policies.local.policy import local_policy
from pipelines.records import ScoredTrajectory, Step, StopReason, Trajectory
from pipelines.stages.analysis import ENTROPY_CHANGE, PROPOSITION1, TABLES, TRAJECTORIES
from pipelines.stages.analysis.entropy_change import entropy_change
from pipelines.stages.analysis.proposition1 import TOKENS, proposition1, squared_score_norms
from pipelines.stages.analysis.trajectories import choose
from pipelines.stages.reading import read_rollout
from pipelines.stages.sequences import unscored_rows
from tests.pipelines.played import step, trajectory
from tests.pipelines.runs import Quiet, small_config, small_run, with_data

SETTINGS = {"training__learning_rate": 3e-2}  # the entropies change by more than rounding


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("analysed")
    with_data(small_run(tmp_path_factory), root)
    run_experiment(small_config(root, **SETTINGS), Quiet())
    return root


def artifact(root: Path, stage: str, **values: object) -> Path:
    """The stage's only folder whose record has these values."""
    folders = [record.parent for record in (root / "artifacts" / stage).glob("*/record.json")
               if values.items() <= read_json(record)["values"].items()]  # fmt: skip
    (folder,) = folders
    return folder


def results(root: Path) -> Path:
    (folder,) = (root / "runs").rglob("results")
    return folder


@pytest.fixture(scope="module")
def first_rollout(finished: Path) -> list[Trajectory]:
    config = small_config(finished, **SETTINGS)
    records = [read_json(path) for path in (finished / "artifacts" / "rollout").glob("*/record.json")]
    first = next(record for record in records if record["values"]["iteration"] == 0)
    rollout = ArtifactStore(config.execution.artifacts).find("rollout", first["fingerprint"])
    assert rollout is not None
    return list(read_rollout(rollout).trajectories)


def hugging_face(folder: Path, rows: list[list[int]]) -> Iterator[torch.Tensor]:
    """Transformers' own logits [T, V], float64."""
    from transformers import Qwen2ForCausalLM

    model = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float64)
    with torch.no_grad():
        for ids in rows:
            yield model(torch.tensor([ids])).logits[0]


def test_entropies_before_and_after_are_the_models_own(finished: Path, first_rollout: list[Trajectory]) -> None:
    """Transformers' logits of the warm start's folder and of the last checkpoint's, mean entropy over a step's action tokens."""
    table = pd.read_parquet(results(finished) / ENTROPY_CHANGE)
    rows = [row for t in first_rollout for row in unscored_rows(t)]
    for column, folder in (
        ("entropy_before", artifact(finished, "warm_start")),
        ("entropy_after", artifact(finished, "update", iteration=1)),
    ):
        expected = []
        for row, logits in zip(rows, hugging_face(folder / "model", [r.token_ids.tolist() for r in rows]), strict=True):
            entropy = torch.distributions.Categorical(logits=logits[:-1]).entropy().numpy()
            expected += [entropy[row.step_ids[1:] == i].mean() for i in range(row.step_ids.max() + 1)]
        np.testing.assert_allclose(table[column], expected, atol=1e-5)
    assert (table["entropy_after"] - table["entropy_before"]).abs().max() > 1e-3
    keys = [(t.task.id, t.group, t.member, i) for t in first_rollout for i in range(len(t.steps))]
    assert list(table[["task_id", "group", "member", "step"]].itertuples(index=False, name=None)) == keys


def test_what_no_engine_recorded_is_scored_and_agrees_with_what_one_did(
    finished: Path, first_rollout: list[Trajectory]
) -> None:
    """Recorded while sampling against one scoring pass of the trained policy's reference: within 1e-5 nats."""
    learner = local_policy(artifact(finished, "warm_start") / "model", temperature=1.0).learner
    learner.load(artifact(finished, "update", iteration=1))
    unknown = [replace(t, steps=tuple(without_entropies(t))) for t in first_rollout]
    recorded, scored = (entropy_change(played, learner).to_pandas() for played in (first_rollout, unknown))
    np.testing.assert_allclose(scored["entropy_before"], recorded["entropy_before"], atol=1e-5)
    np.testing.assert_array_equal(scored["entropy_after"], recorded["entropy_after"])


def without_entropies(trajectory: Trajectory) -> Iterator[Step]:
    for s in trajectory.steps:
        yield replace(s, entropies=np.full(len(s.action_ids), np.nan, np.float32))


def test_squared_score_norms_by_hand() -> None:
    """π = (¾, ¼). a = 0: e₀ − π = (¼, −¼), norm² ⅛. a = 1: (−¾, ¾), 9/8. Expectation ¾·⅛ + ¼·9/8 = ⅜ = 1 − (9 + 1)/16."""
    logits, actions = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64), torch.tensor([[0, 1]])
    norms = squared_score_norms(logits, actions)
    torch.testing.assert_close(norms, torch.tensor([[1 / 8, 9 / 8]], dtype=torch.float64))


def test_a_large_vocabulary_is_examined_where_its_probability_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tokens: a nearly sure one, and one of equal logits, of which 64 of 20,000 actions have a share. Both expectations are
    exact; gradients are never larger than the bound says."""
    sizes: list[int] = []
    gradients = torch.autograd.grad

    def noted(*arguments: Any) -> Any:
        found = gradients(*arguments)
        sizes.append(found[0].numel())
        return found

    monkeypatch.setattr(torch.autograd, "grad", noted)
    monkeypatch.setattr(sys.modules["pipelines.stages.analysis.proposition1"], "_AT_ONCE", 1 << 20)
    logits = torch.zeros(2, 20_000)
    logits[0, 7] = 20.0
    policy = trajectory(steps=[step([1], [2, 3])])
    table = proposition1([policy], {"initial": Path()}, lambda *_: logits, seed=0)
    # Equal logits: 1 − 1/V. One of weight e²⁰: π₀ = e²⁰/(e²⁰ + V − 1), 1 − π₀² − (1 − π₀)²/(V − 1).
    first = math.exp(20) / (math.exp(20) + 19_999)
    expected = [1 - first**2 - (1 - first) ** 2 / 19_999, 1 - 1 / 20_000]
    assert table["measured"].to_pylist() == pytest.approx(expected, rel=1e-9)
    assert table["differentiated"].to_pylist() == pytest.approx([first + 63 * (1 - first) / 19_999, 64 / 20_000])
    assert sum(sizes) == 2 * 64 * 20_000
    assert max(sizes) <= 1 << 20


def test_proposition_1_holds_on_the_runs_policies(finished: Path, first_rollout: list[Trajectory]) -> None:
    table = pd.read_parquet(results(finished) / PROPOSITION1)
    assert table["policy"].value_counts().to_dict() == {"initial": TOKENS, "final": TOKENS}
    np.testing.assert_allclose(table["measured"], table["predicted"], atol=1e-12)
    np.testing.assert_allclose(table["predicted"], 1 - np.exp(-table["renyi2_entropy"]), atol=1e-12)
    # Transformers' logits: a row is of a token of its step.
    rows = {(t.group, t.member): row for t in first_rollout for row in unscored_rows(t)}
    for name, folder in (
        ("initial", artifact(finished, "warm_start")),
        ("final", artifact(finished, "update", iteration=1)),
    ):
        logits = hugging_face(folder / "model", [row.token_ids.tolist() for row in rows.values()])
        collisions = {
            key: of_row.softmax(-1).square().sum(-1).numpy() for key, of_row in zip(rows, logits, strict=True)
        }
        for found in table[table["policy"] == name].itertuples():
            of_step = rows[found.group, found.member].step_ids[1:] == found.step
            here = collisions[found.group, found.member][:-1][of_step]
            assert np.abs(1 - here - found.measured).min() < 1e-6


def test_trajectories_hold_what_the_stages_recorded(finished: Path) -> None:
    kept = pd.read_parquet(results(finished) / TRAJECTORIES)
    assert set(kept["iteration"]) == {0, 1}
    for iteration, rows in kept.groupby("iteration"):
        played = artifact(finished, "rollout", iteration=iteration)
        (record,) = [r for r in (finished / "artifacts" / "advantage").glob("*/record.json")
                     if read_json(r)["inputs"]["rollout"].startswith(played.name)]  # fmt: skip
        for part in (played / "steps.parquet", record.parent / "advantages.parquet"):
            recorded = pd.read_parquet(part).merge(rows[["group", "member", "step"]])
            assert len(recorded) == len(rows)
            for column in {"text", "observation", "valid", "H", "g", "f", "A", "A_final"} & set(recorded.columns):
                assert recorded[column].tolist() == rows[column].tolist(), column
    assert kept["prompt"].str.contains("Your task is to").all()


def scored(group: int, member: int, *, success: bool, steps: int = 1) -> ScoredTrajectory:
    reason = StopReason.SUCCESS if success else StopReason.CONTEXT_FULL
    episode = trajectory(group, member, [step()] * steps, success=success, stop_reason=reason)
    return ScoredTrajectory(episode, {}, np.zeros(steps, np.float32))


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        # Group 0 only failed; group 2 is the first with both.
        ([(0, 0, False), (0, 1, False), (2, 0, False), (2, 1, True), (2, 2, True), (3, 0, True)], [(2, 1), (2, 0)]),
        # No group has both, the batch has.
        ([(0, 0, False), (0, 1, False), (1, 0, True), (1, 1, True)], [(1, 0), (0, 0)]),
        ([(0, 0, False), (1, 0, False)], [(0, 0)]),
        ([], []),
    ],
)
def test_which_trajectories_are_chosen(batch: list[tuple[int, int, bool]], expected: list[tuple[int, int]]) -> None:
    chosen = choose([scored(group, member, success=success) for group, member, success in batch])
    assert [(s.trajectory.group, s.trajectory.member) for s in chosen] == expected


def test_an_episode_without_steps_is_not_chosen() -> None:
    assert [
        s.trajectory.member for s in choose([scored(0, 0, success=False, steps=0), scored(0, 1, success=False)])
    ] == [1]


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        ({"policy": {"name": "scripted"}, "training__iterations": 1}, "policy=scripted scores no tokens"),
        ({"training__iterations": 0}, "nothing was trained"),
    ],
)
def test_where_it_cannot_be_the_results_say_why(
    finished: Path, tmp_path: Path, variant: dict[str, object], reason: str
) -> None:
    observer, config = Quiet(), small_config(finished, **variant, **SETTINGS)
    elsewhere = config.execution.model_copy(update={"runs": tmp_path})
    folder = run_experiment(config.model_copy(update={"execution": elsewhere}), observer)
    assert "analysis" not in [stage for stage, _ in observer.stages]
    assert {path.name for path in (folder / "results").iterdir()} == {
        "run.json", "evaluations.parquet", "metrics.parquet", "SHA256SUMS"
    }  # fmt: skip
    assert read_json(folder / "results" / "run.json")["absent"] == dict.fromkeys(TABLES, reason)
