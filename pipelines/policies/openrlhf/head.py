"""OpenRLHF's actor without a micro-batch's logits: log-probs and entropies of a few tokens at a time, by ``empg``.

It keeps [B, T, V] logits, twice for the entropy: 10 GB for 16,384 tokens of Qwen2.5's vocabulary.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from openrlhf.models import Actor
from openrlhf.models.ring_attn_utils import gather_and_pad_tensor, unpad_and_slice_tensor

from empg import logprobs_and_entropy
from pipelines.policies.openrlhf.patches import replace_output


class ChunkedActor(Actor):
    """``chunk_tokens``: tokens whose logits exist at once. Same calls, same results as its parent (both float32)."""

    def __init__(self, folder: str, *, chunk_tokens: int, **settings: Any) -> None:
        super().__init__(folder, **settings)
        _reduce_at_the_head(self.model, chunk_tokens, self.temperature)

    def forward(
        self,
        sequences: torch.Tensor,
        action_mask: torch.Tensor,
        attention_mask: torch.Tensor,
        return_output: bool = False,
        ring_attn_group: Any = None,
        packed_seq_lens: Any = None,
        return_entropy: bool = False,
    ) -> Any:
        """Log-probs [B, A] of the last A tokens under the mask; with ``return_output`` also an object whose ``entropy``
        is [B, T − 1]."""
        batch, length = sequences.shape
        if self.packing_samples:
            tokens, positions, following, pad, places = unpad_and_slice_tensor(
                sequences, attention_mask, ring_attn_group
            )
            both = self.model(tokens, attention_mask=None, position_ids=positions, next_ids=following)
            logprobs, entropy = (gather_and_pad_tensor(x, ring_attn_group, pad, places, batch, length) for x in both)
        else:
            positions = (attention_mask.long().cumsum(-1) - 1).masked_fill(attention_mask == 0, 1)
            following = torch.roll(sequences, shifts=-1, dims=1)
            logprobs, entropy = self.model(
                sequences, attention_mask=attention_mask, position_ids=positions, next_ids=following
            )
        of_actions = logprobs[:, :-1][:, -action_mask.shape[1] :] * action_mask.float()
        return (of_actions, SimpleNamespace(entropy=entropy[:, :-1])) if return_output else of_actions


def _reduce_at_the_head(model: Any, chunk_tokens: int, temperature: float) -> None:
    """The output matrix is read inside its own module, where ZeRO-3 gathers it."""
    head = model.lm_head

    def reduce(hidden: torch.Tensor, next_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logprobs, entropy = logprobs_and_entropy(
            hidden.reshape(-1, hidden.shape[-1]), head.weight, next_ids.reshape(-1),
            temperature=temperature, chunk_size=chunk_tokens,
        )  # fmt: skip
        return logprobs.reshape(next_ids.shape), entropy.reshape(next_ids.shape)

    def forward(
        input_ids: torch.Tensor, attention_mask: Any, position_ids: torch.Tensor, next_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        backbone = model.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
        )
        reduced: tuple[torch.Tensor, torch.Tensor] = head(backbone.last_hidden_state, next_ids)
        return reduced

    replace_output(model, reduce, forward)
