"""x Wᵀ + b by the library that is faster here: MKL, which torch calls; but on AMD's processors with AVX-512 oneDNN, which torch keeps
for its compiler, for MKL leaves their wide vector units idle (``benchmarks/bench_linear.py``).

oneDNN compiles a kernel for every shape: milliseconds and megabytes. So it is given rows in blocks of few sizes, and MKL
the last few; but where the matrix is large, reading it is what takes the time, oneDNN reads it up to twice as fast, and the last few
are filled up to a power of two.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from pipelines.cpu import cpu_flags, is_intel
from pipelines.policies.local.patches import onednn_product

_BLOCKS = (1024, 512, 256, 128, 64, 32)  # rows
_LARGE = 512  # rows and columns of a matrix that no cache holds


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """float32 [..., O] of ``x`` float32 [..., D], which has two dimensions at least, ``weight`` [O, D] and ``bias`` [O];
    differentiable once in all three. On a GPU and for another dtype it is ``F.linear`` everywhere."""
    if x.dtype != torch.float32 or x.is_cuda or not onednn_is_faster():
        return F.linear(x, weight, bias)
    return by_onednn(x, weight, bias)


@cache
def onednn_is_faster() -> bool:
    """One way for all shapes: what samples and what trains compute one model."""
    has_idle_units = "avx512f" in cpu_flags() and not is_intel()
    return has_idle_units and torch.backends.mkldnn.is_available() and onednn_product() is not None


def by_onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``linear`` of float32 by oneDNN, whatever is faster."""
    if not torch.is_grad_enabled():  # what autograd prepares takes as long as a small product
        return _rows_times(x.flatten(0, -2), weight, bias).view(*x.shape[:-1], len(weight))
    result: torch.Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return result


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _rows_times(x.flatten(0, -2), weight, bias).view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows, grad = x.flatten(0, -2), grads[0].flatten(0, -2)
        d_x = _rows_times(grad, weight.t()).view(x.shape) if ctx.needs_input_grad[0] else None
        d_weight = None
        if ctx.needs_input_grad[1]:  # the shorter side first: oneDNN is up to twice as fast
            wide = grad.shape[1] > rows.shape[1]
            d_weight = _outer(rows, grad).t() if wide else _outer(grad, rows)
        return d_x, d_weight, grad.sum(0) if ctx.needs_input_grad[2] else None


def _rows_times(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """rows [N, D] weightᵀ + bias: [N, O]."""
    parts = [
        _few_times(part, weight, bias) if len(part) < _BLOCKS[-1] else _product(part, weight, bias)
        for part in _blocks(rows)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _few_times(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    count = len(rows)
    if min(weight.shape) < _LARGE or not count:
        return F.linear(rows, weight, bias)
    filled = 1 << (count - 1).bit_length()
    return _product(F.pad(rows, (0, 0, 0, filled - count)), weight, bias)[:count]


def _outer(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """aᵀ b of a [N, A] and b [N, B]: [A, B]."""
    total = torch.zeros(a.shape[1], b.shape[1])
    for part, other in zip(_blocks(a), _blocks(b), strict=True):
        if len(part) < _BLOCKS[-1]:
            total.addmm_(part.t(), other)
        else:
            total += _product(part.t(), other.t())
    return total


def _blocks(rows: torch.Tensor) -> Iterator[torch.Tensor]:
    start = 0
    for size in _BLOCKS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size
    if start < len(rows) or not len(rows):
        yield rows[start:]


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    product: torch.Tensor = onednn_product()(x, weight, bias, "none", [], "")
    return product
