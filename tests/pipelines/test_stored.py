"""A stage's identity is all that it reads, and what a stage plays is the policy of its iteration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.configure.compose import compose
from pipelines.artifacts import Artifact, fingerprint
from pipelines.config import views
from pipelines.environments.base import Panel
from pipelines.experiment import run_experiment
from pipelines.progress import Progress
from pipelines.protocols import Policy
from pipelines.stages import stored
from pipelines.stages.live_policy import LivePolicy
from pipelines.stages.session import Session
from tests.environments.fake import task
from tests.pipelines.runs import Quiet, small_config, small_run, with_data


class Identities:
    """A store that only says what an artifact would be."""

    made = 0

    def get_or_make(
        self, stage: str, version: int, values: Mapping[str, Any], inputs: Mapping[str, str], make: object
    ) -> Artifact:
        return artifact(fingerprint(stage, version, values, inputs))


def artifact(name: str) -> Artifact:
    return Artifact("stage", name, Path("/nowhere"), {})


def world(sha256: str) -> stored.World:
    return stored.World(Path("data"), {"train": Panel("train", (task("t", 1),), sha256)})


EXPERIMENT, OTHER = (compose(["scale=smoke", f"seed={seed}", "empg.zeta=0.5", *more]).experiment
                     for seed, more in ((0, []), (1, ["empg=off", "warm_start.noise=0.1", "model=qwen2.5_7b"])))  # fmt: skip
WEIGHTS = stored.Weights(artifact("current"), artifact("initial"))
ANOTHER = replace(WEIGHTS, current=artifact("another"))
TASKS = (task("a", 1), task("b", 1))
BATCHES = {0: (artifact("r0"), artifact("a0")), 1: (artifact("r1"), artifact("a1"))}


def nothing(_: float) -> None: ...


def view(kind: Any, *more: int) -> tuple[Any, Any]:
    return kind.of(EXPERIMENT, *more), kind.of(OTHER, *more)


# Of each stage: its arguments, each with another value that must make another artifact.
STAGES: dict[str, dict[str, tuple[Any, Any]]] = {
    "stand_in": {"view": view(views.StandInView), "world": (world("1"), world("2"))},
    "warm_start": {
        "view": view(views.WarmStartView), "world": (world("1"), world("2")), "model": (artifact("m"), artifact("n")),
    },
    "rollout": {"view": view(views.RolloutView, 0), "world": (world("1"), world("2")), "weights": (WEIGHTS, ANOTHER)},
    "advantage": {"view": view(views.AdvantageView), "rollout": (artifact("r"), artifact("s"))},
    "update": {
        "view": view(views.UpdateView, 0), "weights": (WEIGHTS, ANOTHER), "rollout": (artifact("r"), artifact("s")),
        "advantage": (artifact("a"), artifact("b")),
    },
    "evaluation": {"view": view(views.EvaluationView), "tasks": (TASKS, TASKS[:1]), "weights": (WEIGHTS, ANOTHER)},
    "analysis": {
        "view": view(views.AnalysisView), "weights": (WEIGHTS, replace(WEIGHTS, initial=artifact("else"))),
        "batches": (BATCHES, BATCHES | {1: (artifact("r1"), artifact("a2"))}),
    },
}  # fmt: skip


def moves() -> Iterator[Any]:
    for stage, arguments in STAGES.items():
        for name in arguments:
            yield pytest.param(stage, name, id=f"{stage}-{name}")


def identity(stage: str, arguments: Mapping[str, Any]) -> str:
    session = Session(Identities(), workers=1)  # type: ignore[arg-type]
    unmoved = {"evaluation": {"world": world("1")}}.get(stage, {})
    ticks = {"tick": nothing} if stage in ("warm_start", "rollout", "evaluation") else {}
    ticks |= {"found": nothing} if stage == "evaluation" else {}
    made: Artifact | stored.Evaluated = getattr(stored, stage)(session, **arguments, **unmoved, **ticks)
    return (made.whole if isinstance(made, stored.Evaluated) else made).fingerprint


@pytest.mark.parametrize(("stage", "name"), moves())
def test_whatever_a_stage_is_given_moves_its_identity(stage: str, name: str) -> None:
    first = {key: pair[0] for key, pair in STAGES[stage].items()}
    assert identity(stage, first) == identity(stage, first)
    assert identity(stage, first) != identity(stage, first | {name: STAGES[stage][name][1]})


def test_the_reference_is_part_of_an_update() -> None:
    first = {key: pair[0] for key, pair in STAGES["update"].items()}
    other = first | {"weights": replace(WEIGHTS, initial=artifact("another reference"))}
    assert identity("update", first) != identity("update", other)


def test_every_evaluation_plays_the_policy_of_its_iteration(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scripted policy's weights are the number of its updates. The second launch finds the first one's updates, whose
    weights are retired but for the last, and evaluates in between: it must make them again."""
    with_data(small_run(tmp_path_factory), tmp_path)
    given: list[Policy] = []
    played: list[tuple[str, int]] = []
    at, evaluate, roll_out = LivePolicy.at, stored.evaluate, stored.roll_out

    def noted_at(self: LivePolicy, wanted: Artifact) -> Policy:
        given.append(at(self, wanted))
        return given[-1]

    def noted(name: str, work: Any) -> Any:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            played.append((name, given[-1].learner.updates))  # type: ignore[attr-defined]
            return work(*arguments, **named)

        return wrapped

    monkeypatch.setattr(LivePolicy, "at", noted_at)
    monkeypatch.setattr(stored, "evaluate", noted("evaluate", evaluate))
    monkeypatch.setattr(stored, "roll_out", noted("rollout", roll_out))
    settings = {"policy": {"name": "scripted"}, "warm_start": None, "training__iterations": 3}
    run_experiment(small_config(tmp_path, **settings, evaluation__every=9), Quiet())
    assert played == [("evaluate", 0), ("rollout", 0), ("rollout", 1), ("rollout", 2), ("evaluate", 3)]
    played.clear()
    run_experiment(small_config(tmp_path, **settings, evaluation__every=1), Quiet())
    assert played == [("evaluate", 1), ("evaluate", 2)]


def test_a_session_opens_what_a_view_says(tmp_path: Path) -> None:
    """Another view is another benchmark, pool and policy; the same view is the same one."""
    with Session(Identities(), workers=1) as session:  # type: ignore[arg-type]
        one = views.PlayingView.of(EXPERIMENT)
        two = one.model_copy(update={"attempts": one.attempts + 1})
        assert session.benchmark(one) is session.benchmark(one)
        pool = session.pool(one, tmp_path)
        assert session.pool(one, tmp_path) is pool
        assert session.pool(two, tmp_path) is not pool
        policy = views.PolicyView.of(EXPERIMENT)
        live = session.policy(policy, artifact("initial"))
        assert session.policy(policy, artifact("initial")) is live
        assert session.policy(policy, artifact("another")) is not live


def test_blocks_of_samples_that_were_played_before_are_told_as_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 1, 1, 2 and 4 of eight samples: two of them were there."""
    session = Session(Identities(), workers=1)  # type: ignore[arg-type]
    told: list[tuple[str, float]] = []

    def play(session: Session, view: Any, *rest: Any) -> Artifact:
        if view.first >= 2:
            session.store.made += 1
            rest[-1](0.5)
        return artifact(f"{view.first}")

    monkeypatch.setattr(stored, "_played", play)
    stored.evaluation(
        session, views.EvaluationView.of(EXPERIMENT).block(range(8)), world("1"), TASKS, WEIGHTS,
        lambda done: told.append(("played", done)), found=lambda done: told.append(("found", done)),
    )  # fmt: skip
    assert told == [
        ("found", 1 / 8), ("found", 2 / 8), ("played", 3 / 8), ("played", 4 / 8), ("played", 6 / 8), ("played", 1.0),
    ]  # fmt: skip


def test_found_parts_of_a_stage_are_done_and_not_worked() -> None:
    """A third was found, then a third was played; tried again, both are found; and the rest is played."""
    progress = Progress(EXPERIMENT)
    share = progress.evaluation
    progress.inside(share / 3, found=True)
    progress.inside(2 * share / 3)
    progress.inside(2 * share / 3, found=True)
    progress.after(share, found=False)
    work = progress.work
    assert (work.done, work.worked, work.found) == pytest.approx((share, 2 * share / 3, share / 3))
