"""What the local policy takes from torch that is not public."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from pipelines.patches import warn_unknown

KNOWN = {"torch": ("2.13.0",)}


@cache
def onednn_product() -> Any:
    """x Wᵀ + b by oneDNN, an operator that torch keeps for its compiler; None in a torch without it."""
    warn_unknown("torch", KNOWN, "the product by oneDNN's kernel, which saves time")
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


@cache
def muon_in_float32() -> None:
    """torch's Muon orthogonalises its updates in bfloat16, of which most CPUs have no products: there that takes ten to twenty-five
    times as long as in float32, a third of a warm start. From now on it is float32 everywhere, which is nearer to what is meant."""
    from torch.optim import _muon

    warn_unknown("torch", KNOWN, "Muon in float32, which saves time")
    if hasattr(_muon, "_zeropower_via_newtonschulz"):
        _muon._zeropower_via_newtonschulz = orthogonalized


def orthogonalized(grad: torch.Tensor, ns_coefficients: Sequence[float], ns_steps: int, eps: float) -> torch.Tensor:
    """``grad`` [M, N], in its dtype, with singular values near 1, by that many Newton-Schulz iterations of
    a x + b (x xᵀ) x + c (x xᵀ)² x (Muon, https://kellerjordan.github.io/posts/muon/)."""
    a, b, c = ns_coefficients
    tall = grad.shape[0] > grad.shape[1]
    x = grad.t() if tall else grad
    x = x / x.norm().clamp(min=eps)
    for _ in range(ns_steps):
        gram = x @ x.t()
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x
