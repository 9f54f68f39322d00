"""What an oracle will cost, said before: how many steps it plays, and how long that takes at the pace of the run's own rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from pipelines.artifacts import RECORD
from pipelines.credit.lineage import Lineage
from pipelines.credit.oracle import Chosen
from pipelines.files import read_json
from pipelines.schemas import METRICS_JSON
from pipelines.stages.reading import read_metrics


@dataclass(frozen=True)
class Cost:
    """Of one iteration. ``sampled``: steps that the policy plays, expected from the recorded lengths; ``replayed``: those that the
    environment alone repeats."""

    steps: int
    tasks: int
    prefixes: int
    sampled: float
    replayed: float


def costs(chosen: Mapping[int, Chosen], continuations: int) -> dict[int, Cost]:
    """By iteration."""
    return {i: _cost(each, continuations) for i, each in chosen.items()}


def _cost(chosen: Chosen, continuations: int) -> Cost:
    lengths: dict[int, list[int]] = {}
    for (group, _), t in chosen.batch.items():
        lengths.setdefault(group, []).append(len(t.steps))
    left = [fmean(n - length for n in lengths[group] if n > length) for group, _, length in chosen.prefixes]
    replayed = sum(length for *_, length in chosen.prefixes)
    tasks = len({group for group, *_ in chosen.steps})
    return Cost(len(chosen.steps), tasks, len(chosen.prefixes), continuations * sum(left), continuations * replayed)


def seconds_a_step(lineage: Lineage) -> float | None:
    """Of the run's rollouts, by the times of its files: from a checkpoint, or its evaluation where that came between, to the rollout
    that it played, the median over the iterations. None: one iteration tells nothing, or the files were copied without their times."""
    found, evaluated = [], _evaluated(lineage)
    for each in lineage.iterations[1:]:
        ended = _written(each.rollout.folder)
        before = (_written(each.policy.folder), *evaluated.get(each.policy.fingerprint, ()))
        metrics = read_metrics(each.rollout)
        steps = metrics["rollout/episodes"] * metrics["rollout/steps"]
        begun = [time for time in before if time < ended]
        found += [(ended - max(begun)) / steps] if begun and steps else []
    return median(found) if found else None


def _evaluated(lineage: Lineage) -> dict[str, list[float]]:
    """When each checkpoint was evaluated, by its fingerprint; also later, by another run or command."""
    times: dict[str, list[float]] = {}
    for record in (lineage.initial.folder.parents[1] / "evaluate").glob(f"[!.]*/{RECORD}"):
        policy = read_json(record)["inputs"].get("policy", "")
        times.setdefault(policy, []).append(_written(record.parent))
    return times


def _written(folder: Path) -> float:
    return (folder / METRICS_JSON).stat().st_mtime
