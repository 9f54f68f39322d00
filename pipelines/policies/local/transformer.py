"""Qwen2's forward pass as a function of its parameters, for sampling and for training.

The parameters are the Hugging Face module's own; the result equals its forward pass (tests/policies). Small models are
bound by the number of operations, not by arithmetic: projections are fused, masks and rotations are made once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from pipelines.policies.local.linear import linear
from pipelines.policies.local.parameters import Qwen2Parameters

# (layer, q [B, H, P, d], k [B, G, P, d], v [B, G, P, d]) → [B, H, P, d]
Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Layer:
    """One decoder layer; projections that read the same input are fused."""

    norm: torch.Tensor
    qkv: torch.Tensor
    qkv_bias: torch.Tensor | None
    out: torch.Tensor
    mlp_norm: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


@dataclass(frozen=True)
class Weights:
    """A view of the module's parameters (a copy where fused). Made anew after every change of the parameters;
    differentiable when made with gradients on."""

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


def weights_of(model: Qwen2Parameters, rotations: tuple[torch.Tensor, torch.Tensor]) -> Weights:
    shape = model.shape
    embedding = model["model.embed_tokens.weight"]
    return Weights(
        embedding=embedding,
        layers=tuple(_layer(model, f"model.layers.{i}.") for i in range(shape.layers)),
        norm=model["model.norm.weight"],
        lm_head=embedding if shape.tied else model["lm_head.weight"],
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        eps=shape.eps,
        cos=rotations[0],
        sin=rotations[1],
    )


def _layer(model: Qwen2Parameters, prefix: str) -> Layer:
    biases = [b for x in "qkv" if (b := model.find(f"{prefix}self_attn.{x}_proj.bias")) is not None]
    return Layer(
        norm=model[f"{prefix}input_layernorm.weight"],
        qkv=torch.cat(tuple(model[f"{prefix}self_attn.{x}_proj.weight"] for x in "qkv")),
        qkv_bias=torch.cat(tuple(biases)) if biases else None,
        out=model[f"{prefix}self_attn.o_proj.weight"],
        mlp_norm=model[f"{prefix}post_attention_layernorm.weight"],
        gate_up=torch.cat(tuple(model[f"{prefix}mlp.{x}_proj.weight"] for x in ("gate", "up"))),
        down=model[f"{prefix}mlp.down_proj.weight"],
    )


def rotations(model: Qwen2Parameters) -> tuple[torch.Tensor, torch.Tensor]:
    """(cos, sin) [context length, head dim]; sin carries the sign of rotate_half."""
    shape = model.shape
    frequency = 1.0 / shape.rope_theta ** (torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim)
    angle = torch.arange(shape.context_length, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def forward(weights: Weights, token_ids: torch.Tensor, positions: torch.Tensor, attend: Attend) -> torch.Tensor:
    """Final hidden states [B, P, D] of token ids [B, P] at positions [B, P] or [P]."""
    w = weights
    x = F.embedding(token_ids, w.embedding)
    cos, sin = w.cos[positions].unsqueeze(-3), w.sin[positions].unsqueeze(-3)
    batch, length = token_ids.shape
    sizes = (w.heads, w.kv_heads, w.kv_heads)
    for number, layer in enumerate(w.layers):
        h = F.rms_norm(x, x.shape[-1:], layer.norm, w.eps)
        qkv = linear(h, layer.qkv, layer.qkv_bias).view(batch, length, -1, w.head_dim).transpose(1, 2)
        qk = qkv[:, : w.heads + w.kv_heads]
        qk = torch.addcmul(qk * cos, qk.roll(w.head_dim // 2, -1), sin)  # rotate_half with its sign in sin
        q, k = qk.split(sizes[:2], 1)
        mixed = attend(number, q, k, qkv[:, w.heads + w.kv_heads :])
        x = x + linear(mixed.transpose(1, 2).reshape(batch, length, -1), layer.out)
        h = F.rms_norm(x, x.shape[-1:], layer.mlp_norm, w.eps)
        gate, up = linear(h, layer.gate_up).chunk(2, -1)
        x = x + linear(F.silu(gate) * up, layer.down)
    return F.rms_norm(x, x.shape[-1:], w.norm, w.eps)


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
