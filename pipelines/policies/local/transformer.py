"""The forward pass of plain decoders (``architectures``) as a function of their parameters, for sampling and for training.

The result equals transformers' forward pass (tests/policies). Small models are bound by the number of operations, not by
arithmetic: projections of the same input are one, masks and rotations are made once.

Products, keys and values have the parameters' ``dtype``; what is summed up over layers, norms and rotations are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from pipelines.policies.local.adapters import LowRank
from pipelines.policies.local.linear import linear
from pipelines.policies.local.parameters import JOINED, DecoderParameters

# (layer, q [B, H, P, d], k [B, G, P, d], v [B, G, P, d]) → [B, H, P, d]
Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Projection:
    """x [..., D] → x weightᵀ + bias [..., O], in the weight's dtype. ``changes`` of an adapter to its parts, which have so many
    ``rows``; empty: there are none."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    changes: tuple[LowRank | None, ...] = ()
    rows: tuple[int, ...] = ()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y = linear(x, self.weight, self.bias)
        if not self.changes:
            return y
        parts = zip(self.changes, self.rows, strict=True)
        return y + torch.cat([change(x) if change else x.new_zeros(*x.shape[:-1], rows) for change, rows in parts], -1)


@dataclass(frozen=True)
class Layer:
    """One decoder layer; projections that read the same input are one. ``q_norm`` and ``k_norm``: [head dim], or absent."""

    norm: torch.Tensor
    qkv: Projection
    q_norm: torch.Tensor | None
    k_norm: torch.Tensor | None
    out: Projection
    mlp_norm: torch.Tensor
    gate_up: Projection
    down: Projection


@dataclass(frozen=True)
class Weights:
    """The parameters as they are computed with. Made anew after every change of them; differentiable when made with gradients on."""

    embedding: torch.Tensor
    layers: tuple[Layer, ...]
    norm: torch.Tensor
    lm_head: torch.Tensor
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    cos: torch.Tensor
    sin: torch.Tensor

    @property
    def dtype(self) -> torch.dtype:
        return self.lm_head.dtype


def weights_of(model: DecoderParameters, changes: Mapping[str, LowRank] | None = None) -> Weights:
    """``changes``: of an adapter, by the names of the projections."""
    shape = model.shape
    cos, sin = model.rotations
    return Weights(
        embedding=model["model.embed_tokens.weight"],
        layers=tuple(_layer(model, f"model.layers.{i}.", changes or {}) for i in range(shape.layers)),
        norm=model.named["model.norm.weight"],
        lm_head=model.lm_head,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        eps=shape.eps,
        cos=cos,
        sin=sin,
    )


def _layer(model: DecoderParameters, prefix: str, changes: Mapping[str, LowRank]) -> Layer:
    def projection(name: str) -> Projection:
        weight, bias = model[f"{prefix}{name}.weight"], model.find(f"{prefix}{name}.bias")
        parts = [f"{prefix}{part}" for part in JOINED.get(name, (name,))]
        if changes.keys().isdisjoint(parts):
            return Projection(weight, bias)
        rows = tuple(len(model.named[f"{part}.weight"]) for part in parts)
        return Projection(weight, bias, tuple(map(changes.get, parts)), rows)

    return Layer(
        norm=model.named[f"{prefix}input_layernorm.weight"],
        qkv=projection("qkv"),
        q_norm=model.named.get(f"{prefix}self_attn.q_norm.weight"),
        k_norm=model.named.get(f"{prefix}self_attn.k_norm.weight"),
        out=projection("self_attn.o_proj"),
        mlp_norm=model.named[f"{prefix}post_attention_layernorm.weight"],
        gate_up=projection("gate_up"),
        down=projection("mlp.down_proj"),
    )


def forward(
    weights: Weights,
    token_ids: torch.Tensor,
    positions: torch.Tensor,
    attend: Attend,
    *,
    places: torch.Tensor | None = None,
    recompute: bool = False,
) -> torch.Tensor:
    """Final hidden states [M, D], in the weights' dtype, of ``places`` int64[M] of the B·P tokens, by default of all: token ids
    [B, P] at positions [B, P] or [P]. The last layer's feed-forward part, most of its work, is done for those alone.
    ``recompute``: what is inside the layers is not kept for the backward pass but computed again there (Chen et al. 2016,
    arXiv:1604.06174)."""
    w = weights
    x = F.embedding(token_ids, w.embedding).float()
    cos, sin = w.cos[positions].unsqueeze(-3), w.sin[positions].unsqueeze(-3)
    for number in range(len(w.layers)):
        wanted = places if number == len(w.layers) - 1 else None
        if recompute:
            x = checkpoint(
                _through, w, number, x, cos, sin, attend, wanted, use_reentrant=False, preserve_rng_state=False
            )
        else:
            x = _through(w, number, x, cos, sin, attend, wanted)
    return F.rms_norm(x.flatten(0, -2), x.shape[-1:], w.norm, w.eps).to(w.dtype)


def _through(
    w: Weights,
    number: int,
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    attend: Attend,
    places: torch.Tensor | None,
) -> torch.Tensor:
    """x float32 [B, P, D] through one layer: [B, P, D], or [M, D] of ``places``."""
    layer, (batch, length, size) = w.layers[number], x.shape
    h = F.rms_norm(x, (size,), layer.norm, w.eps).to(w.dtype)
    qkv = layer.qkv(h).view(batch, length, -1, w.head_dim).transpose(1, 2)
    qk = _normed(layer, qkv[:, : w.heads + w.kv_heads], w.heads, w.eps).float()
    qk = torch.addcmul(qk * cos, qk.roll(w.head_dim // 2, -1), sin)  # rotate_half with its sign in sin
    q, k = qk.to(w.dtype).split((w.heads, w.kv_heads), 1)
    mixed = attend(number, q, k, qkv[:, w.heads + w.kv_heads :]).transpose(1, 2).reshape(batch, length, -1)
    if places is not None:
        x, mixed = (whole.flatten(0, 1).index_select(0, places) for whole in (x, mixed))
    x = x + layer.out(mixed)
    h = F.rms_norm(x, (size,), layer.mlp_norm, w.eps).to(w.dtype)
    gate, up = layer.gate_up(h).chunk(2, -1)
    return x + layer.down(F.silu(gate) * up)


def _normed(layer: Layer, qk: torch.Tensor, heads: int, eps: float) -> torch.Tensor:
    """Queries and keys [B, H + G, P, d], normed where the family does so."""
    if layer.q_norm is None or layer.k_norm is None:
        return qk
    q, k, size = qk[:, :heads].float(), qk[:, heads:].float(), (qk.shape[-1],)
    return torch.cat([F.rms_norm(q, size, layer.q_norm, eps), F.rms_norm(k, size, layer.k_norm, eps)], 1)


def packed(lengths: Sequence[int]) -> Attend:
    """Attention of whole sequences laid end to end in one row [1, H, sum(lengths), d]: no padding is ever computed."""

    def attend(_: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        parts = zip(*(x.split(list(lengths), 2) for x in (q, k, v)), strict=True)
        return torch.cat([causal(_, *part) for part in parts], 2)

    return attend


def packed_positions(lengths: Sequence[int]) -> torch.Tensor:
    """int64[sum(lengths)]: each sequence counts from 0."""
    return torch.cat([torch.arange(n) for n in lengths])


def causal(_: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Whole sequences, padded on the right: no token looks at padding, for padding comes later."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])
