"""The engine of transformers: any ``AutoModelForCausalLM``, by its own forward pass and its own cache.

Slower than our own pass and just as exact. A model is taken apart once, into what computes hidden states and what makes logits of them,
so that logits exist for a chunk of tokens at a time; whatever a family does to its logits is done.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import logging

from empg import logprobs_and_entropy_from_logits
from empg.entropy import chunk_rows
from pipelines.config import LoraSettings
from pipelines.errors import ConfigError, MissingCheckpoint
from pipelines.policies.local.adapters import Adapter, LowRank
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.engine import device_of
from pipelines.policies.local.sampling import Sampled, Turn
from pipelines.policies.model_folder import copy_as_float32
from pipelines.protocols import GenerationRequest


class HostedEngine:
    """See ``engine.Engine``. Products in bfloat16 are autocast's, beside float32 parameters."""

    def __init__(
        self, folder: Path, settings: LocalPolicyConfig, *, frozen: bool = False, adapter: LoraSettings | None = None
    ) -> None:
        self.version = 0
        self.device = torch.device(device_of(settings, folder))
        self._settings = settings
        self._model = read(folder).to(self.device).requires_grad_(not frozen and adapter is None)
        if settings.checkpoint_activations:
            self._model.gradient_checkpointing_enable({"use_reentrant": False})
        self._context_length = _context_length(folder, self._model.config)
        self._trunk, self._head = self._model.base_model, _Head(self._model)
        self._check_apart(folder)
        self._switch = _Switch()
        self.adapter = _changed(self._model, adapter, self._switch) if adapter else None
        own = dict(sorted(self._model.named_parameters()))
        self.named: Mapping[str, nn.Parameter] = own if self.adapter is None else self.adapter.named

    def without_adapter(self) -> HostedEngine:
        bare = copy.copy(self)
        bare.adapter = None
        return bare

    @property
    def context_length(self) -> int:
        return self._context_length

    @property
    def vocabulary(self) -> int:
        return len(self._model.get_output_embeddings().weight)

    def decoder(self, episodes: int, ends: Collection[int]) -> PaddedDecoder:
        return PaddedDecoder(self._model, ends, self._autocast())  # only what is trained is sampled from

    def hidden(self, tokens: torch.Tensor, lengths: Sequence[int], places: torch.Tensor) -> torch.Tensor:
        rows = pad_sequence(list(tokens.split(list(lengths))), batch_first=True)
        there = torch.arange(rows.shape[1], device=rows.device) < torch.tensor(lengths, device=rows.device)[:, None]
        recompute = self._settings.checkpoint_activations and torch.is_grad_enabled()
        layers = _recomputing(self._model) if recompute else nullcontext()
        with self._autocast(), self._switch.set(self.adapter is not None), layers:
            found = self._trunk(input_ids=rows, attention_mask=there.long(), use_cache=False)
        hidden: torch.Tensor = found.last_hidden_state[there].index_select(0, places)
        return hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        with self._autocast(), self._switch.set(self.adapter is not None):
            logits: torch.Tensor = self._head(hidden)
        return logits.float()

    def logprobs(
        self, hidden: torch.Tensor, tokens: torch.Tensor, *, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self._settings.logits_chunk_tokens or chunk_rows(self.vocabulary)
        found = [
            checkpoint(self._scores, *part, temperature, use_reentrant=False, preserve_rng_state=False)
            for part in zip(hidden.split(rows), tokens.split(rows), strict=True)
        ]
        logprobs, entropies = zip(*found, strict=True)
        return torch.cat(logprobs), torch.cat(entropies)

    def _scores(
        self, hidden: torch.Tensor, tokens: torch.Tensor, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return logprobs_and_entropy_from_logits(self.logits(hidden), tokens, temperature=temperature)

    def save(self, start: Path, out: Path) -> None:
        copy_as_float32(start, out)
        with TemporaryDirectory(dir=out) as folder:  # transformers knows how the names were in the files
            self._model.save_pretrained(folder, max_shard_size="1TB", state_dict=self._merged())
            (Path(folder) / "model.safetensors").replace(out / "model.safetensors")

    def _merged(self) -> dict[str, torch.Tensor]:
        tensors: dict[str, torch.Tensor] = self._model.state_dict()
        for name, change in self.adapter.changes() if self.adapter else ():
            tensors[f"{name}.weight"] = change.merged(tensors[f"{name}.weight"]).detach()
        return tensors

    def load(self, folder: Path) -> None:
        saved = dict(read(folder).named_parameters())
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(saved[name])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._settings.dtype == "bfloat16")

    @torch.no_grad()
    def _check_apart(self, folder: Path) -> None:
        ids = torch.arange(8, device=self.device) % self.vocabulary
        whole, parts = (
            self._model(ids[None]).logits[0],
            self._head(self._trunk(input_ids=ids[None]).last_hidden_state[0]),
        )
        check_finite(folder, whole)
        if not torch.allclose(whole, parts, atol=1e-4, rtol=1e-4):
            raise ConfigError(
                f"{folder}: {type(self._model).__name__} makes its logits of more than its last hidden states: choose another model"
            )


def check_finite(folder: Path, logits: torch.Tensor) -> None:
    """Raises MissingCheckpoint: some are no numbers, so the weights are none of a model."""
    if not bool(logits.isfinite().all()):
        raise MissingCheckpoint(
            f"the weights in {folder} give logits that are no finite numbers: they are damaged, restore or download them again"
        )


def read(folder: Path, tensors: Mapping[str, torch.Tensor] | None = None) -> Any:
    """transformers' model of the folder, in float32. ``tensors``: to be used as they are in place of the folder's files.

    Raises:
        MissingCheckpoint: a file is absent or damaged, or a tensor is missing. ConfigError: transformers knows no such model.
    """
    logging.disable_progress_bar()
    how = {"dtype": torch.float32, "output_loading_info": True}
    no_code = {"local_files_only": True, "trust_remote_code": False}  # else it asks whether to run the folder's own
    try:
        config = AutoConfig.from_pretrained(folder, **no_code)
        if getattr(config, "quantization_config", None):
            raise ConfigError(
                f"{folder} holds quantised weights (quantization_config), which policy=local does not compute with: choose the model's "
                "float weights"
            )
        if tensors is None:
            model, found = AutoModelForCausalLM.from_pretrained(folder, config=config, **no_code, **how)
        else:
            kind = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
            model, found = kind.from_pretrained(None, config=config, state_dict=dict(tensors), **how)
    except (OSError, RuntimeError) as error:
        raise MissingCheckpoint(f"model folder {folder} cannot be read ({error}): restore it or remove it") from None
    except (ValueError, KeyError) as error:
        own = (folder / "config.json").resolve().parent  # of which the store has links
        raise ConfigError(f"{own} is no model that transformers reads: {str(error).splitlines()[0]}") from None
    if found["missing_keys"]:
        name, *more = sorted(found["missing_keys"])
        raise MissingCheckpoint(f"model folder {folder} lacks the weights {name} and {len(more)} more: restore it")
    model.generation_config = GenerationConfig()  # the folder's may change logits
    return model.eval()  # no dropout: what samples is what is trained


class _Switch:
    """Whether an adapter's changes count: not where the frozen model is asked, which is the same modules."""

    on = True

    @contextmanager
    def set(self, on: bool) -> Iterator[None]:
        before, self.on = self.on, on
        try:
            yield
        finally:
            self.on = before


def _changed(model: Any, settings: LoraSettings, switch: _Switch) -> Adapter:
    """Add an adapter's changes to what its modules return."""
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    adapter = Adapter(settings, {name: module.weight.shape for name, module in linears.items()}, model.device)

    def hook(change: LowRank) -> Any:
        return lambda _, inputs, output: output + change(inputs[0]) if switch.on else None  # None: as it is

    for name, change in adapter.changes():
        linears[name].register_forward_hook(hook(change))
    return adapter


def _context_length(folder: Path, config: Any) -> int:
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    if length is None:
        raise ConfigError(
            f"{folder}/config.json says no max_position_embeddings, so nobody knows how long a context may be: add it"
        )
    return int(length)


@contextmanager
def _recomputing(model: Any) -> Iterator[None]:
    """transformers computes layers again in the backward pass only where they are in training mode: so they are here, and nothing
    inside them, for that would drop out."""
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


class _States(BaseModelOutputWithPast):  # type: ignore[misc]
    """Hidden states, and of whatever else a family's trunk returns: nothing."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


class _Given(nn.Module):
    """Stands where hidden states are computed, and has them already."""

    hidden: torch.Tensor

    def forward(self, *_: Any, **__: Any) -> _States:
        return _States(last_hidden_state=self.hidden)


class _Head:
    """What a model makes of its last hidden states [T, D]: logits [T, V]. It shares the model's parameters."""

    def __init__(self, model: Any) -> None:
        self._given, self._model = _Given(), copy.copy(model)
        self._model._modules = {**model._modules, model.base_model_prefix: self._given}

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        self._given.hidden = hidden[None]
        tokens = torch.zeros(1, len(hidden), dtype=torch.int64, device=hidden.device)
        logits: torch.Tensor = self._model(input_ids=tokens, use_cache=False).logits[0]
        return logits


class PaddedDecoder:
    """Every turn anew by ``generate`` over the left-padded contexts: the model's own cache serves one turn. The tokens are drawn
    here, from the logits as they come."""

    def __init__(self, model: Any, ends: Collection[int], autocast: torch.autocast) -> None:
        self._model, self._ends, self._autocast = model, ends, autocast

    @torch.inference_mode()
    def generate(self, requests: Sequence[GenerationRequest]) -> list[Sampled]:
        device = self._model.device
        contexts = [torch.tensor(r.context_ids, device=device) for r in requests]
        lengths = torch.tensor([len(ids) for ids in contexts], device=device)
        tokens = pad_sequence(contexts, batch_first=True, padding_side="left")
        there = torch.arange(tokens.shape[1], device=device) >= tokens.shape[1] - lengths[:, None]
        turn = Turn(requests, self._ends, device)
        drawn = _Drawn(turn, len(requests), device)
        with self._autocast:
            self._model.generate(
                tokens,
                attention_mask=there.long(),
                generation_config=GenerationConfig(do_sample=False, max_new_tokens=turn.most, pad_token_id=0),
                logits_processor=LogitsProcessorList([drawn]),
                stopping_criteria=StoppingCriteriaList([_Ended(drawn)]),
            )
        return turn.sampled()


class _Drawn(LogitsProcessor):  # type: ignore[misc]
    """Leaves of the logits one choice: the token that is drawn."""

    def __init__(self, turn: Turn, rows: int, device: torch.device) -> None:
        self._turn, self._step = turn, 0
        self._order = torch.arange(rows, device=device)
        self.going = torch.ones(rows, dtype=torch.bool, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        token, self.going = self._turn.draw(self._step, scores.float(), self._order, self.going)
        self._step += 1
        return torch.full_like(scores, float("-inf")).scatter_(1, token[:, None], 0.0)


class _Ended(StoppingCriteria):  # type: ignore[misc]
    def __init__(self, drawn: _Drawn) -> None:
        self._drawn = drawn

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return ~self._drawn.going
