"""The product by oneDNN and its derivatives."""

from __future__ import annotations

import pytest
import torch

from pipelines.policies.local.linear import by_onednn, linear
from pipelines.policies.local.patches import onednn_product

pytestmark = pytest.mark.skipif(onednn_product() is None, reason="this torch has no product by oneDNN")


def operands(rows: tuple[int, ...], inputs: int, outputs: int, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((*rows, inputs), (outputs, inputs), (outputs,))
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("rows", [(0,), (7,), (2, 5), (32,), (1, 300), (1500,)])
@pytest.mark.parametrize(("inputs", "outputs"), [(6, 4), (4, 6), (32, 96), (96, 32), (5, 1), (1, 5), (512, 520)])
@pytest.mark.parametrize("biased", [True, False])
def test_results_and_gradients_are_those_of_the_definition(
    rows: tuple[int, ...], inputs: int, outputs: int, biased: bool
) -> None:
    """x Wᵀ + b in float64, its derivatives by autograd; wide and narrow matrices take different ways in oneDNN."""

    def derivatives(dtype: torch.dtype) -> list[torch.Tensor]:
        x, weight, bias = (t.to(dtype).requires_grad_() for t in operands(rows, inputs, outputs, torch.float64))
        if dtype == torch.float64:
            result = torch.einsum("...d,od->...o", x, weight) + (bias if biased else 0.0)
        else:
            result = by_onednn(x, weight, bias if biased else None)
        (result * torch.linspace(-1, 1, result.numel(), dtype=dtype).view(result.shape)).sum().backward()
        return [result.detach(), *(t.grad for t in (x, weight, *([bias] if biased else [])) if t.grad is not None)]

    expected, found = derivatives(torch.float64), derivatives(torch.float32)
    assert len(expected) == len(found) == (4 if biased else 3)
    for a, b in zip(expected, found, strict=True):
        assert b.dtype == torch.float32
        torch.testing.assert_close(b.double(), a, rtol=1e-4, atol=5e-4)


def test_only_what_is_asked_for_gets_a_gradient() -> None:
    x, weight, bias = operands((3,), 4, 5, torch.float32)
    by_onednn(x, weight.requires_grad_(), bias).sum().backward()
    assert x.grad is None
    assert bias.grad is None
    assert weight.grad is not None
    assert not by_onednn(x, weight.detach(), bias).requires_grad


@pytest.mark.parametrize("rows", [(0, 3), (7,), (2, 33), (1, 300)])
def test_without_gradients_the_bits_are_the_same(rows: tuple[int, ...]) -> None:
    """What samples and what trains compute one model."""
    x, weight, bias = operands(rows, 64, 96, torch.float32)
    trained = by_onednn(x.requires_grad_(), weight, bias)
    assert trained.requires_grad
    with torch.inference_mode():
        assert torch.equal(by_onednn(x, weight, bias), trained)


def test_a_bias_alone_is_trained() -> None:
    x, weight, bias = operands((3,), 4, 5, torch.float32)
    by_onednn(x, weight, bias.requires_grad_()).sum().backward()
    assert bias.grad is not None
    assert bias.grad.tolist() == [3.0] * 5


def test_a_second_derivative_is_refused() -> None:
    """It would be a wrong one."""
    x, weight, _ = operands((40,), 4, 5, torch.float32)
    (once,) = torch.autograd.grad(by_onednn(x.requires_grad_(), weight).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        once.sum().backward()


def test_other_dtypes_are_torchs_own() -> None:
    x, weight, bias = operands((3,), 4, 5, torch.float64)
    assert linear(x, weight, bias).equal(torch.nn.functional.linear(x, weight, bias))


@pytest.mark.parametrize("rows", [(7,), (2, 33)])
def test_whichever_is_faster_computes_the_same(rows: tuple[int, ...]) -> None:
    x, weight, bias = operands(rows, 64, 96, torch.float32)
    torch.testing.assert_close(linear(x, weight, bias), by_onednn(x, weight, bias), rtol=1e-4, atol=1e-4)
