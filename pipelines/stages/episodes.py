"""Play episodes: one coroutine per episode — prompt, generate, act, repeat.

Rollout, evaluation and every policy go through here; nothing else drives an environment with a sampler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.environments.base import Answer, Benchmark, Prompt, Turn
from pipelines.environments.pool import EnvironmentPool, Reply
from pipelines.errors import ConfigError, EnvironmentFailure
from pipelines.protocols import Generation, GenerationRequest, Observation, Outcome, Sampler, SamplingSettings
from pipelines.records import Step, StopReason, Task, Trajectory, Verdict
from pipelines.seeds import derive_seed
from pipelines.stages.prefix import Prefix


@dataclass(frozen=True, slots=True)
class EpisodeSpec:
    """One episode to play. ``seed`` makes its sampling; ``group`` and ``member`` say where it belongs. ``prefix``: its first
    steps, which are replayed as they were recorded; the policy goes on from there."""

    task: Task
    group: int
    member: int
    seed: int
    prefix: Prefix | None = None


@dataclass(frozen=True)
class Played:
    """The trajectories of a call of ``play``, in the order of its specs, and why environments failed for good."""

    trajectories: list[Trajectory]
    failures: list[EnvironmentFailure]


def require_one_alive(batches: Sequence[Played]) -> list[Trajectory]:
    """The trajectories of a stage, which may have played in several batches.

    Raises:
        EnvironmentFailure: the environment of every episode failed. ConfigError: no episode's first prompt fits the context.
            Neither says anything of the policy.
    """
    trajectories = [trajectory for batch in batches for trajectory in batch.trajectories]
    failures = [failure for batch in batches for failure in batch.failures]
    if failures and len(failures) == len(trajectories):
        raise EnvironmentFailure(f"the environments of all {len(failures)} episodes failed; the first: {failures[0]}")
    if trajectories and not any(trajectory.steps or trajectory.broken for trajectory in trajectories):
        raise ConfigError(
            f"none of {len(trajectories)} episodes could begin: the first prompt is longer than the context; raise "
            "rollout.max_context_tokens, or lower benchmark.prompt.examples or rollout.max_action_tokens"
        )
    return trajectories


def play(
    sampler: Sampler,
    pool: EnvironmentPool,
    benchmark: Benchmark,
    specs: Sequence[EpisodeSpec],
    sampling: SamplingSettings,
    on_step: Callable[[], None] = lambda: None,
    *,
    at_once: int | None = None,
) -> Played:
    """Play all episodes, ``at_once`` beside each other; None: all.

    An environment that fails for good ends its own episode with ``environment_error``; any other exception ends the
    stage (the first one is raised, all other episodes are cancelled), and so does Ctrl-C.

    Raises:
        ReplayDiffers: an environment answered a prefix otherwise than it was recorded.
    """
    most = at_once or len(specs) or 1
    parts = [
        _played(sampler, pool, benchmark, specs[first : first + most], sampling, on_step)
        for first in range(0, len(specs), most)
    ]
    return Played([t for part in parts for t in part.trajectories], [f for part in parts for f in part.failures])


def _played(
    sampler: Sampler,
    pool: EnvironmentPool,
    benchmark: Benchmark,
    specs: Sequence[EpisodeSpec],
    sampling: SamplingSettings,
    on_step: Callable[[], None],
) -> Played:
    episodes = [_Episode(sampler, pool, benchmark, i, spec, sampling, on_step) for i, spec in enumerate(specs)]

    async def gather() -> list[Trajectory]:
        tasks = [asyncio.create_task(episode.play()) for episode in episodes]
        try:  # not a TaskGroup: there, what fails because of Ctrl-C takes its place
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()  # raises what it failed with
            return [task.result() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    pool.open([spec.task for spec in specs])
    sampler.open_rollout(len(specs))
    trajectories = asyncio.run(gather())
    return Played(trajectories, [episode.failure for episode in episodes if episode.failure is not None])


class _Episode:
    """The state of one episode: its context, its steps, its rewards."""

    def __init__(
        self,
        sampler: Sampler,
        pool: EnvironmentPool,
        benchmark: Benchmark,
        index: int,
        spec: EpisodeSpec,
        sampling: SamplingSettings,
        on_step: Callable[[], None],
    ) -> None:
        self.sampler, self.pool, self.benchmark, self.on_step = sampler, pool, benchmark, on_step
        self.index, self.spec, self.sampling = index, spec, sampling
        self.steps: list[Step] = []
        self.past: list[Turn] = []
        self.context: list[int] = []
        self.first_observation = self.state = ""
        self.last: Outcome | None = None
        self.failure: EnvironmentFailure | None = None

    async def play(self) -> Trajectory:
        try:
            reason = await self._turns()
        except EnvironmentFailure as failure:
            self.failure, reason = failure, StopReason.ENVIRONMENT_ERROR
        finally:
            self.pool.leave(self.index)
            self.sampler.close_episode(self.index)
        return self._trajectory(reason)

    async def _turns(self) -> StopReason:
        observation = await self._begin()
        while True:
            prompt = self.benchmark.shown(self.past, observation)
            prompt_ids = self._shown(prompt)
            context = (self.context if prompt.continues else []) + prompt_ids
            if len(context) > self._most_context():
                return StopReason.CONTEXT_FULL
            generation = await self.sampler.generate(self._request(context))
            answer = self.benchmark.read_answer(generation.text)
            reply = await self.pool.step(self.index, answer.action)
            self._record(prompt.continues, prompt_ids, generation, answer, reply)
            self.context = context + generation.action_ids.tolist()
            self.past.append(Turn(observation, generation.text))
            self.on_step()
            outcome = reply.answer
            if outcome.done:
                return StopReason.SUCCESS if outcome.success else StopReason.DONE
            if len(self.steps) == self.benchmark.max_steps:
                return StopReason.MAX_STEPS
            observation = outcome.observation

    async def _begin(self) -> Observation:
        """What the environment shows first or, behind a prefix, what it showed last."""
        prefix = self.spec.prefix
        if prefix is None:
            start = await self.pool.reset(self.index)
            self.first_observation, self.state = start.answer.text, start.state
            return start.answer
        replies = await self.pool.replay(self.index, [step.action for step in prefix.steps])
        *shown, last = prefix.shown(replies)
        self.first_observation, self.state = prefix.played.first_observation, replies[-1].state
        self.steps, self.context = list(prefix.steps), prefix.context()
        self.past = [Turn(observation, step.text) for observation, step in zip(shown, prefix.steps, strict=True)]
        prefix.compare_prompt(self._shown(self.benchmark.shown(self.past, last)))
        return last

    def _shown(self, prompt: Prompt) -> list[int]:
        """The prompt's ids. In a growing context, an answer that was cut, or stopped at another of the model's ends, is closed
        first: by a token that nobody sampled, so it is no action's."""
        codec = self.sampler.codec
        ids = codec.chat_prompt(prompt.messages, continues=prompt.continues)
        closed = not prompt.continues or self.steps[-1].action_ids[-1] == codec.end_of_message
        return ids if closed else [codec.end_of_message, *ids]

    def _most_context(self) -> int:
        room, most = self.sampler.context_length - self.sampling.max_tokens, self.sampling.max_context_tokens
        return room if most is None else min(room, most)

    def _request(self, context: list[int]) -> GenerationRequest:
        seed = derive_seed(self.spec.seed, len(self.steps))
        shared = self.spec.prefix is not None and len(self.steps) == self.spec.prefix.length
        return GenerationRequest(self.index, tuple(context), seed, self.sampling, shared)

    def _record(
        self, continues: bool, prompt_ids: list[int], generation: Generation, answer: Answer, reply: Reply[Outcome]
    ) -> None:
        self.last = outcome = reply.answer
        valid = answer.well_formed and (outcome.valid or answer.forgiven)
        step = Step(
            continues=continues,
            prompt_ids=np.asarray(prompt_ids, dtype=np.int32),
            action_ids=generation.action_ids,
            logprobs=generation.logprobs,
            entropies=generation.entropies,
            text=generation.text,
            action=answer.action,
            observation=outcome.observation.text,
            reward=outcome.reward,
            shaped_reward=0.0 if valid else -self.benchmark.invalid_penalty,
            verdict=_verdict(answer, outcome),
            valid=valid,
            cut=self._is_cut(generation),
            state_before=self.state,
            state_after=reply.state,
            squared_score=None
            if generation.squared_scores is None
            else float(generation.squared_scores.sum(dtype=np.float64)),
        )
        self.steps.append(step)
        self.state = reply.state

    def _is_cut(self, generation: Generation) -> bool:
        ids = generation.action_ids
        return len(ids) == self.sampling.max_tokens and int(ids[-1]) not in self.sampler.codec.ends

    def _trajectory(self, reason: StopReason) -> Trajectory:
        unscored = reason is StopReason.ENVIRONMENT_ERROR or self.last is None
        score = 0.0 if unscored or self.last is None else self.last.score
        success = reason is StopReason.SUCCESS
        outcome = self.benchmark.outcome_reward(success=success, score=score)
        if self.steps:
            last = self.steps[-1]
            self.steps[-1] = replace(last, shaped_reward=last.shaped_reward + outcome)
        invalid = sum(not step.valid for step in self.steps)
        return Trajectory(
            task=self.spec.task,
            group=self.spec.group,
            member=self.spec.member,
            steps=tuple(self.steps),
            first_observation=self.first_observation,
            outcome=outcome,
            reward=outcome - self.benchmark.invalid_penalty * invalid,
            score=score,
            success=success,
            stop_reason=reason,
            attempts=self.pool.attempts(self.index),
        )


def _verdict(answer: Answer, outcome: Outcome) -> Verdict:
    if not answer.well_formed:
        return Verdict.UNPARSED
    return Verdict.ADMITTED if outcome.valid else Verdict.INADMISSIBLE
