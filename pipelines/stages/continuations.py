"""The stage behind the oracle: from each of a few recorded prefixes the policy that played it goes on, many times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.config.views import ContinuationsView
from pipelines.environments.base import Benchmark
from pipelines.environments.pool import EnvironmentPool
from pipelines.protocols import Sampler, SamplingSettings
from pipelines.records import Trajectory
from pipelines.seeds import derive_seed
from pipelines.stages.episodes import EpisodeSpec, play
from pipelines.stages.prefix import Prefix, prefix_identities


@dataclass(frozen=True, slots=True)
class Continuation:
    """One of a prefix, which is that of ``length`` steps of an episode. ``reward``: the sum of the shaped rewards of the ``steps``
    that were played behind it; ``tokens``: sampled there."""

    group: int
    member: int
    length: int
    number: int
    reward: float
    success: bool
    steps: int
    tokens: int


def continue_prefixes(
    view: ContinuationsView,
    sampler: Sampler,
    pool: EnvironmentPool,
    benchmark: Benchmark,
    episodes: Mapping[tuple[int, int], Trajectory],
    *,
    sampling: SamplingSettings,
    on_step: Callable[[], None] = lambda: None,
) -> list[Continuation]:
    """``view.continuations`` of each prefix, all of them together. The dice of each are its own: they derive from the view's seed, the
    task, what the prefix is, and its number. ``episodes``: those that were played, by group and member.

    Raises:
        ReplayDiffers: the environment is not deterministic. EnvironmentFailure: one of them failed for good: without it the mean
            would be another's.
    """
    specs = []
    for place, (group, member, length) in enumerate(view.prefixes):
        played = episodes[group, member]
        prefix, identity = Prefix(played, length), prefix_identities(played)[length]
        for number in range(view.continuations):
            seed = derive_seed(view.seed, "continuation", played.task.id, identity, number)
            specs.append(EpisodeSpec(played.task, place, number, seed, prefix))
    found = play(sampler, pool, benchmark, specs, sampling, on_step, at_once=view.policy.at_once)
    if found.failures:
        raise found.failures[0]
    continuations = []
    for t in found.trajectories:
        group, member, length = view.prefixes[t.group]
        steps = t.steps[length:]
        reward, tokens = sum(step.shaped_reward for step in steps), sum(len(step.action_ids) for step in steps)
        continuations.append(Continuation(group, member, length, t.member, reward, t.success, len(steps), tokens))
    return continuations
