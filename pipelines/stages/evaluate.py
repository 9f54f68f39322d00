"""The evaluation stage: a fixed panel is played, each of its tasks once or several times with different dice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipelines.environments.base import Benchmark
from pipelines.environments.pool import EnvironmentPool
from pipelines.protocols import Sampler, SamplingSettings
from pipelines.records import Evaluation, StopReason, Task, Trajectory, Verdict
from pipelines.reporting.samples import mean, pass_at, shown
from pipelines.seeds import derive_seed
from pipelines.stages.episodes import EpisodeSpec, play, require_one_alive


def evaluate(
    sampler: Sampler,
    pool: EnvironmentPool,
    benchmark: Benchmark,
    tasks: Sequence[Task],
    *,
    sampling: SamplingSettings,
    seed: int,
    samples: range = range(1),
    on_step: Callable[[], None] = lambda: None,
    at_once: int | None = None,
) -> list[Trajectory]:
    """The tasks in panel order, each played once for each number in ``samples``, which is the episode's ``member``; ``at_once``: as
    ``play``. The dice are the same at every iteration and for every arm: differences between two evaluations come from the weights."""
    specs = [EpisodeSpec(task, i, j, _dice(seed, task, j)) for i, task in enumerate(tasks) for j in samples]
    return require_one_alive([play(sampler, pool, benchmark, specs, sampling, on_step, at_once=at_once)])


def _dice(seed: int, task: Task, sample: int) -> int:
    """A task that is played once has the dice of its first sample."""
    return derive_seed(seed, "evaluate", task.id, *([sample] if sample else []))


def outcome(t: Trajectory) -> Evaluation:
    return Evaluation(
        task_id=t.task.id,
        task_type=t.task.task_type,
        sample=t.member,
        success=t.success,
        score=t.score,
        reward=t.reward,
        steps=len(t.steps),
        invalid_actions=sum(not s.valid for s in t.steps),
        unparsed=sum(s.verdict is Verdict.UNPARSED for s in t.steps),
        inadmissible=sum(s.verdict is Verdict.INADMISSIBLE for s in t.steps),
        cut_answers=sum(s.cut for s in t.steps),
        stop_reason=t.stop_reason,
    )


def evaluation_metrics(
    evaluations: Sequence[Evaluation], averages: Mapping[str, Sequence[str]] | None = None
) -> dict[str, float]:
    """Success overall and per task type, and what went wrong; pass@k where tasks were played several times. ``averages``:
    names of means over task types, each type weighing the same however many tasks it has; types that were not played are
    left out."""
    types = sorted({e.task_type for e in evaluations})
    by_type = {t: mean([e.success for e in evaluations if e.task_type == t]) for t in types}
    steps = sum(e.steps for e in evaluations)
    return {
        "evaluation/success": mean([e.success for e in evaluations]),
        "evaluation/score": mean([e.score for e in evaluations]),
        "evaluation/steps": mean([e.steps for e in evaluations]),
        **{
            f"evaluation/{name}": sum(getattr(e, name) for e in evaluations) / max(steps, 1)
            for name in ("invalid_actions", "unparsed", "inadmissible", "cut_answers")
        },
        "evaluation/environment_errors": float(sum(e.stop_reason is StopReason.ENVIRONMENT_ERROR for e in evaluations)),
        **{f"evaluation/success_{t}": success for t, success in by_type.items()},
        **{
            f"evaluation/success_{name}": mean(played)
            for name, members in (averages or {}).items()
            if (played := [by_type[t] for t in members if t in by_type])
        },
        **_passes(evaluations),
    }


def _passes(evaluations: Sequence[Evaluation]) -> dict[str, float]:
    won: dict[str, list[bool]] = {}
    for e in evaluations:
        won.setdefault(e.task_id, []).append(e.success)
    samples = max(map(len, won.values()), default=1)
    return {
        f"evaluation/pass_at_{k}": mean([pass_at(k, len(of_task), sum(of_task)) for of_task in won.values()])
        for k in shown(samples)
    }
