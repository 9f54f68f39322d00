"""``LocalPolicy``: the ``Policy`` protocol in one process and one torch thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pipelines.config import UpdateSettings
from pipelines.errors import MissingCheckpoint
from pipelines.policies.chat_codec import ChatCodec
from pipelines.policies.local.learner import Learner
from pipelines.policies.local.parameters import load_model
from pipelines.policies.local.sampler import Sampler
from pipelines.policies.local.transformer import rotations, weights_of
from pipelines.policies.model_folder import copy_all_but_weights
from pipelines.protocols import Generation, GenerationRequest
from pipelines.records import Score, TrainingSequence, UpdateMetrics
from pipelines.rounds import Rounds

_WEIGHTS, _OPTIMIZER = "model/model.safetensors", "optimizer.safetensors"


class LocalPolicy:
    """``model``: the folder the run starts from and, frozen, the reference of the KL loss. ``temperature``: of the
    rollouts; scores and updates use the log-probs of the policy that really acted."""

    def __init__(self, model: Path, *, temperature: float, threads: int = 1) -> None:
        torch.set_num_threads(threads)  # one: two threads are not bit-reproducible
        self._folder = model
        self._codec = ChatCodec(model)
        self._model = load_model(model)
        self._learner = Learner(self._model, temperature)
        self._reference: Learner | None = None
        self._sampler: Sampler | None = None
        self._rounds: Rounds[GenerationRequest, Generation] = Rounds(self._generate_round)

    @property
    def codec(self) -> ChatCodec:
        return self._codec

    @property
    def context_length(self) -> int:
        return self._model.shape.context_length

    def open_rollout(self, episodes: int) -> None:
        with torch.inference_mode():
            weights = weights_of(self._model, rotations(self._model))
            self._sampler = Sampler(weights, episodes, self._codec.ends)
        self._rounds.open(episodes)

    def close_episode(self, episode: int) -> None:
        self._rounds.leave(episode)

    async def generate(self, request: GenerationRequest) -> Generation:
        return await self._rounds.ask(request.episode, request)

    def _generate_round(self, rows: Sequence[tuple[int, GenerationRequest]]) -> list[Generation]:
        if self._sampler is None:
            raise RuntimeError("open_rollout first")
        sampled = self._sampler.generate([request for _, request in rows])
        return [Generation(s.ids, s.logprobs, s.entropies, self._codec.message(s.ids.tolist())) for s in sampled]

    def score(self, sequences: Sequence[TrainingSequence], *, reference: bool = False) -> list[Score]:
        return (self._frozen() if reference else self._learner).score(sequences)

    def update(self, sequences: Sequence[TrainingSequence], settings: UpdateSettings, *, seed: int) -> UpdateMetrics:
        self._sampler = None  # its weights are about to be old
        reference = self.score(sequences, reference=True) if settings.kl_coefficient > 0 else None
        return self._learner.update(sequences, reference, settings, seed)

    def _frozen(self) -> Learner:
        if self._reference is None:
            self._reference = Learner(load_model(self._folder).requires_grad_(False), self._learner.temperature)
        return self._reference

    def save(self, path: Path) -> None:
        """``model/`` (a Hugging Face folder) and the optimiser's state, all safetensors: the same state, same bytes."""
        copy_all_but_weights(self._folder, path / "model")
        tensors = {name: p.detach() for name, p in self._model.named.items()}  # tied weights stand once
        save_file(tensors, path / _WEIGHTS, metadata={"format": "pt"})
        save_file(self._optimizer_tensors(), path / _OPTIMIZER)

    def _optimizer_tensors(self) -> dict[str, torch.Tensor]:
        if self._learner.optimizer is None:
            return {}
        state = self._learner.optimizer.state
        return {
            f"{name}|{key}": value.detach().clone()
            for name, p in self._model.named.items()
            for key, value in state.get(p, {}).items()
        }

    def load(self, path: Path) -> None:
        """Continue from what ``save`` wrote, bit for bit.

        Raises:
            MissingCheckpoint: a file is absent or damaged.
        """
        try:
            weights, moments = load_file(path / _WEIGHTS), load_file(path / _OPTIMIZER)
        except (OSError, SafetensorError) as error:
            raise MissingCheckpoint(
                f"checkpoint {path} cannot be read ({error}): restore it or remove the folder"
            ) from None
        parameters = self._model.named
        if weights.keys() != parameters.keys():
            raise MissingCheckpoint(
                f"checkpoint {path} is of another model: restore the right one or remove the folder"
            )
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(weights[name])
        self._sampler = None
        self._learner.optimizer = None
        if moments:
            optimizer = torch.optim.AdamW(parameters.values())
            for key, value in moments.items():
                name, field = key.split("|")
                optimizer.state[parameters[name]][field] = value
            self._learner.optimizer = optimizer

    def measurements(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        self._sampler = None
