"""How many sequences and tokens an iteration has: at most, and as planned."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from pipelines.config import AlgorithmConfig, ExperimentConfig
from pipelines.errors import ConfigError
from pipelines.planning.assumptions import Usual
from pipelines.sample_blocks import sample_blocks


@dataclass(frozen=True, slots=True)
class Workload:
    """One iteration. ``longest``: tokens of the longest sequence allowed. ``length``, ``generated``: tokens of a usual
    sequence, and of these what is sampled. ``batches``: the episodes that are played, one generation batch after the other,
    for the ``episodes`` that are trained on. ``minibatches``: optimizer steps.
    ``evaluation_blocks``: the episodes of an evaluation that are played together, one block after the other."""

    episodes: int
    sequences: int
    minibatches: int
    longest: int
    length: int
    generated: int
    batches: tuple[int, ...]
    evaluation_blocks: tuple[int, ...]
    evaluations: int

    @property
    def played(self) -> int:
        return sum(self.batches)

    @property
    def most_tokens(self) -> int:
        return self.sequences * self.longest

    @property
    def tokens(self) -> int:
        """Trained on, as planned."""
        return self.sequences * self.length

    def sequences_of(self, episodes: int) -> int:
        return episodes * self.sequences // self.episodes


def longest_sequence(experiment: ExperimentConfig, context_length: int) -> int:
    """A prompt as long as allowed, and an action as long as allowed."""
    rollout = experiment.rollout
    if rollout.max_context_tokens is None:
        return context_length
    return min(context_length, rollout.max_context_tokens + rollout.max_action_tokens)


def workload(experiment: ExperimentConfig, context_length: int, assumed: Usual) -> Workload:
    """With ``history: full`` a sequence is an episode, else a step.

    Raises:
        ConfigError: an action as long as allowed leaves no room for a prompt.
    """
    training, evaluation, algorithm = experiment.training, experiment.evaluation, experiment.algorithm
    episodes, steps = training.tasks * training.group_size, experiment.benchmark.max_steps
    longest = longest_sequence(experiment, context_length)
    if longest <= experiment.rollout.max_action_tokens:
        raise ConfigError(
            f"rollout.max_action_tokens={experiment.rollout.max_action_tokens} leaves no room for a prompt in the "
            f"{longest} tokens of a sequence: lower it"
        )
    whole = experiment.benchmark.prompt.history == "full"
    sequences = episodes if whole else episodes * steps
    answer = min(assumed.answer_tokens, experiment.rollout.max_action_tokens)
    prompt = round(assumed.prompt_fill * (longest - experiment.rollout.max_action_tokens))
    generated = min(steps * answer, prompt) if whole else answer
    return Workload(
        episodes=episodes,
        sequences=sequences,
        minibatches=training.minibatches(sequences),
        longest=longest,
        length=max(prompt, generated) if whole else prompt + answer,
        generated=generated,
        batches=tuple(groups * training.group_size for groups in _batches(training.tasks, algorithm, assumed)),
        evaluation_blocks=tuple(len(b) * evaluation.games for b in sample_blocks(evaluation.samples, evaluation.games)),
        evaluations=ceil(training.iterations / evaluation.every) + 1,
    )


def _batches(groups: int, algorithm: AlgorithmConfig, assumed: Usual) -> list[int]:
    """Groups of each generation batch: with dynamic sampling, each further one has as many as are still missing."""
    batches = [groups]
    while algorithm.dynamic_sampling and len(batches) < algorithm.max_generation_batches:
        missing = int(batches[-1] * (1 - assumed.kept_groups))
        if not missing:
            break
        batches.append(missing)
    return batches
