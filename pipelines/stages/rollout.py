"""The rollout stage: draw tasks, play groups of episodes, and (DAPO) keep the informative groups."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.config.views import RolloutView
from pipelines.environments.base import Benchmark, Panel
from pipelines.environments.pool import EnvironmentPool
from pipelines.protocols import Policy, SamplingSettings
from pipelines.records import StopReason, Task, Trajectory, Verdict
from pipelines.seeds import derive_seed
from pipelines.stages.entropies import with_entropies
from pipelines.stages.episodes import EpisodeSpec, Played, play, require_one_alive


@dataclass(frozen=True, slots=True)
class Rollout:
    """``trajectories``: all that were played, in (group, member) order; ``kept``: the groups that take part in the
    update (all of them without dynamic sampling); ``batches``: generation batches it took."""

    trajectories: tuple[Trajectory, ...]
    kept: tuple[int, ...]
    batches: int

    def batch(self) -> list[Trajectory]:
        """What is learned from: the kept groups' trajectories, but for those that their environment failed."""
        kept = set(self.kept)
        return [t for t in self.trajectories if t.group in kept and not t.broken]


def draw_tasks(panel: Panel, count: int, seed: int, iteration: int) -> list[Task]:
    """The iteration's tasks: a seeded shuffle of the panel, repeated if it is shorter than ``count``."""
    tasks: list[Task] = []
    for lap in range(-(-count // len(panel.tasks))):
        lap_tasks = list(panel.tasks)
        random.Random(derive_seed(seed, "tasks", iteration, lap)).shuffle(lap_tasks)
        tasks += lap_tasks
    return tasks[:count]


def informative(trajectories: Sequence[Trajectory]) -> set[int]:
    """The groups that carry a signal, by DAPO's rule: their episodes differ in what the task paid. Penalties do not make a
    group informative, nor does an episode that its environment failed."""
    import torch

    from empg import informative_groups

    scored = [t for t in trajectories if not t.broken]
    outcomes = torch.tensor([t.outcome for t in scored], dtype=torch.float64)
    flags = informative_groups(outcomes, torch.tensor([t.group for t in scored], dtype=torch.int64)).tolist()
    return {t.group for t, flag in zip(scored, flags, strict=True) if flag}


def roll_out(
    view: RolloutView,
    policy: Policy,
    pool: EnvironmentPool,
    benchmark: Benchmark,
    panel: Panel,
    *,
    sampling: SamplingSettings,
    on_step: Callable[[], None] = lambda: None,
) -> Rollout:
    """Play ``view.tasks`` groups. With dynamic sampling, uninformative groups are replaced by fresh tasks: each
    further generation batch plays as many groups as are still missing, at most ``max_generation_batches`` in all.
    Should too few be informative even then, the batch is what was found (the metrics say how many are missing).
    Where the engine gives no entropies, those of the kept groups are the trainer's.

    Raises:
        EnvironmentFailure: every episode of the stage ended because its environment failed.
    """
    tasks = draw_tasks(panel, view.tasks * view.max_generation_batches, view.seed, view.iteration)
    batches: list[Played] = []
    kept: list[int] = []
    group = 0
    while len(kept) < view.tasks and len(batches) < view.max_generation_batches:
        wanted = range(group, group + view.tasks - len(kept))
        group = wanted.stop
        specs = [
            EpisodeSpec(tasks[g], g, m, derive_seed(view.seed, "rollout", view.iteration, g, m))
            for g in wanted
            for m in range(view.group_size)
        ]
        batches.append(play(policy.sampler, pool, benchmark, specs, sampling, on_step, at_once=view.policy.at_once))
        kept += sorted(informative(batches[-1].trajectories)) if view.dynamic_sampling else wanted
    played = require_one_alive(batches)
    rollout = Rollout(tuple(played), tuple(kept), len(batches))
    known = {(t.group, t.member): t for t in with_entropies(policy.learner, rollout.batch())}
    return replace(rollout, trajectories=tuple(known.get((t.group, t.member), t) for t in played))


def rollout_metrics(rollout: Rollout, wanted_groups: int) -> dict[str, float]:
    """What happened in the rollout, over all episodes that were played (not only the kept ones)."""
    played = rollout.trajectories
    steps = [step for t in played for step in t.steps]
    types = sorted({t.task.task_type for t in played})
    return {
        "rollout/success": float(np.mean([t.success for t in played])),
        "rollout/score": float(np.mean([t.score for t in played])),
        "rollout/reward": float(np.mean([t.reward for t in played])),
        "rollout/episodes": float(len(played)),
        "rollout/steps": float(np.mean([len(t.steps) for t in played])),
        "rollout/tokens": float(sum(len(s.action_ids) for s in steps)),
        "rollout/prompt_tokens": float(sum(len(s.prompt_ids) for s in steps)),
        "rollout/invalid_actions": _share([not s.valid for s in steps]),
        "rollout/unparsed": _share([s.verdict is Verdict.UNPARSED for s in steps]),
        "rollout/inadmissible": _share([s.verdict is Verdict.INADMISSIBLE for s in steps]),
        "rollout/cut_answers": _share([s.cut for s in steps]),
        "rollout/environment_errors": float(sum(t.stop_reason is StopReason.ENVIRONMENT_ERROR for t in played)),
        "rollout/context_full": float(sum(t.stop_reason is StopReason.CONTEXT_FULL for t in played)),
        "rollout/restarts": float(sum(t.attempts - 1 for t in played)),
        "rollout/generation_batches": float(rollout.batches),
        "rollout/groups_kept": float(len(rollout.kept)),
        "rollout/groups_missing": float(wanted_groups - len(rollout.kept)),
        **{
            f"rollout/success_{kind}": float(np.mean([t.success for t in played if t.task.task_type == kind]))
            for kind in types
        },
    }


def _share(said: Sequence[bool]) -> float:
    return float(np.mean(said)) if said else 0.0
