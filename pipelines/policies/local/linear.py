"""x Wᵀ + b by oneDNN, which torch keeps for its compiler: its own ``F.linear`` calls MKL, which leaves the wide vector
units of a processor that is not Intel's idle (``benchmarks/bench_linear.py``)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """float32 [..., O] of ``x`` float32 [..., D], ``weight`` [O, D] and ``bias`` [O]; differentiable in all three.
    Where torch was built without oneDNN, or for another dtype, it is ``F.linear``."""
    if x.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return F.linear(x, weight, bias)
    result: torch.Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return result


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (grad,) = grads
        d_x = _product(grad, weight.t()) if ctx.needs_input_grad[0] else None
        rows, of_rows = x.flatten(0, -2), grad.flatten(0, -2)
        d_weight = None
        if ctx.needs_input_grad[1]:  # the shorter side first: oneDNN is up to twice as fast
            wide = of_rows.shape[1] > rows.shape[1]
            d_weight = _product(rows.t(), of_rows.t()).t() if wide else _product(of_rows.t(), rows.t())
        return d_x, d_weight, of_rows.sum(0) if ctx.needs_input_grad[2] else None
