"""Exact entropies out of vLLM through its public interface for logits processors, which changes no logit.

It sees every row's logits before temperature and sampling, in this process. Imported only once vLLM's environment is set.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from empg import logprobs_and_entropy_from_logits

# Episode → entropy of the n-th token of its turn. By number, for a prompt that is read in parts, or again after
# preemption, passes the sampler more often than it is sampled from; the last pass is the one that counts.
_RECORDED: dict[int, dict[int, float]] = {}


def take(episode: int, tokens: int) -> list[float]:
    """The entropies of the turn's tokens (nats, at the request's temperature; at 0 untempered), which are then forgotten."""
    recorded = _RECORDED.pop(episode)
    return [recorded[n] for n in range(tokens)]


def forget() -> None:
    """Drop what cancelled turns have left."""
    _RECORDED.clear()


class EntropyRecorder(LogitsProcessor):
    """Records for requests whose ``extra_args`` name their episode."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        # row → episode, temperature, the tokens so far (vLLM's own list, which grows)
        self._rows: dict[int, tuple[int, float, list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        return False  # it is, but those that say so are not called for greedy rows, nor before the temperature

    def update_state(self, batch_update: Any) -> None:
        process_dict_updates(self._rows, batch_update, self._row)

    @staticmethod
    def _row(params: Any, prompt_ids: list[int] | None, token_ids: list[int]) -> tuple[int, float, list[int]] | None:
        if not params.extra_args or "episode" not in params.extra_args:
            return None
        return params.extra_args["episode"], params.temperature or 1.0, token_ids

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        if self._rows:
            rows = sorted(self._rows)
            temperatures = logits.new_tensor([self._rows[row][1] for row in rows])
            tempered = logits[rows].float() / temperatures[:, None]
            _, entropies = logprobs_and_entropy_from_logits(tempered, tempered.argmax(-1))
            for row, entropy in zip(rows, entropies.tolist(), strict=True):
                episode, _, token_ids = self._rows[row]
                _RECORDED.setdefault(episode, {})[len(token_ids)] = entropy
        return logits
