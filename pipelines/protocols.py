"""The protocols of the platform: an environment (text in, text out), a sampler (tokens in, tokens out), a learner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipelines.config import UpdateSettings
from pipelines.errors import ConfigError
from pipelines.records import FloatArray, IntArray, SamplingSettings, Score, TrainingSequence, UpdateMetrics


@dataclass(frozen=True, slots=True)
class Observation:
    """What the agent is shown: the text, and the actions that are admissible now (in a fixed order; empty where unknown)."""

    text: str
    admissible: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The environment's answer to one action.

    ``reward``: the benchmark's own reward of this step; ``score`` in [0, 1] and ``success`` are final once ``done``.
    ``valid``: the action was understood and listed. An invalid action leaves the environment as it was.
    """

    observation: Observation
    reward: float
    score: float
    success: bool
    done: bool
    valid: bool


class Environment(Protocol):
    """One episode; single use; made from a picklable task; text in, text out."""

    def reset(self) -> Observation: ...

    def step(self, action: str) -> Outcome: ...

    def state_key(self) -> str:
        """Name of the state that the engine is in now: at most 32 characters, the same in every process.

        It may be asked for after ``reset`` and after every ``step``, the last one included, until ``close``. Where two
        episodes of one task have equal keys, equal actions are answered equally from there on; where the episode is over,
        its score is the same. An invalid action leaves the key as it was.

        Raises:
            RuntimeError: the environment was not reset.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One turn of one episode.

    ``episode``: dense index of the episode within the rollout: the row order of a batch. ``context_ids``: the whole
    context, as ids; an engine reuses whatever prefix it has cached. ``seed``: makes the sampled tokens a function of
    (weights, context, seed); derived from (run seed, iteration, task, member, turn). ``shared``: others of the round ask with the same
    context, which an engine that keeps caches may run once for all of them.
    """

    episode: int
    context_ids: tuple[int, ...]
    seed: int
    sampling: SamplingSettings
    shared: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Generation:
    """The sampled action: int32[m] ids (end-of-message included when it was sampled), float32[m] log-probs and
    entropies. ``text`` is the codec's ``message`` of them.

    An engine that does not know the entropies gives NaN for all of them, never an estimate: ``Scorer.score`` has them.
    ``squared_scores`` float32[m]: 1 − 2π + Σπ² of each token; None: the engine does not know them.
    """

    action_ids: IntArray
    logprobs: FloatArray
    entropies: FloatArray
    text: str
    squared_scores: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat; ``role`` as the chat template names it ("system", "user", …)."""

    role: str
    content: str


class TextCodec(Protocol):
    """The policy's tokenizer as the rollout sees it."""

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def chat_prompt(self, messages: Sequence[Message], *, continues: bool) -> list[int]:
        """Ids of the messages followed by the header that opens the assistant's answer.

        With ``continues`` they follow an assistant's message whose sampled ids are already in the context: the result starts
        with whatever stands behind that message's end (e.g. a newline).
        """
        ...

    def message(self, ids: Sequence[int]) -> str:
        """The assistant's message whose sampled ids these are: without the token that ends it, and with what the prompt
        had already opened of it (some chat templates end in "<think>")."""
        ...

    def answer(self, text: str) -> list[int]:
        """Ids of an assistant's message that says ``text``, with its end, as they are sampled after a prompt: without what the
        prompt has opened of it."""
        ...

    @property
    def end_of_message(self) -> int:
        """The token that the chat template writes behind an assistant's message."""
        ...

    @property
    def ends(self) -> frozenset[int]:
        """Every token at which sampling stops: ``end_of_message`` and the other ends that the model declares."""
        ...


class Sampler(Protocol):
    """Samples actions for the episodes of one rollout after the other, each under fixed weights."""

    @property
    def codec(self) -> TextCodec: ...

    @property
    def context_length(self) -> int: ...

    def open_rollout(self, episodes: int) -> None:
        """Announce that episodes 0 … episodes-1 take part from now on (a barrier for engines that work in rounds), under the
        weights as they are."""
        ...

    def close_episode(self, episode: int) -> None:
        """The episode asks for no more turns; its cache may go."""
        ...

    async def generate(self, request: GenerationRequest) -> Generation: ...

    def measurements(self) -> dict[str, float]:
        """What the engines measured of themselves since last asked (throughput, cache, memory; where a trainer shares their
        machines, its too): a log, never an input."""
        ...

    def close(self) -> None: ...


class Scorer(Protocol):
    """Log-probs and exact entropies of given sequences."""

    def score(self, sequences: Sequence[TrainingSequence], *, reference: bool = False) -> list[Score]:
        """In their order, under the weights as they are or, with ``reference``, those that the run started from."""
        ...


class Learner(Scorer, Protocol):
    """Weights and optimiser."""

    def update(
        self, sequences: Sequence[TrainingSequence], settings: UpdateSettings, *, seed: int
    ) -> UpdateMetrics: ...

    def save(self, path: Path) -> None:
        """Write everything a later ``load`` needs to continue bit for bit (weights, optimiser) into the folder, and the
        model as an ordinary Hugging Face folder under ``model/``; where an adapter is trained, that alone, in PEFT's format under
        ``adapter/``."""
        ...

    def load(self, path: Path) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, eq=False)
class Policy:
    """One backend's session. Where it learns, a rollout that is opened after ``learner.update`` or ``load`` samples from the new
    weights. ``trainer`` is None where the backend only samples."""

    sampler: Sampler
    trainer: Learner | None = None

    @property
    def learner(self) -> Learner:
        """Raises ConfigError: this policy only samples."""
        if self.trainer is None:
            raise ConfigError(
                f"{type(self.sampler).__name__} only samples, it neither scores nor trains: choose a policy that trains"
            )
        return self.trainer

    def close(self) -> None:
        self.sampler.close()
        if self.trainer is not None:
            self.trainer.close()


__all__ = [
    "Environment", "FloatArray", "Generation", "GenerationRequest", "IntArray", "Learner", "Message", "Observation", "Outcome",
    "Policy", "Sampler", "SamplingSettings", "Scorer", "TextCodec",
]  # fmt: skip
