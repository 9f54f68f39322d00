"""Linear layers: the library that is chosen on this processor against the other one, forward and backward, at the stand-ins' sizes."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.measure import Row, at_least, cpu_seconds, take_turns

TOKENS, CALLS = 8192, 40
SHAPES = ((64, 384), (96, 576), (384, 128))  # inputs, outputs: gate and up of the 1.5B and 7B stand-ins, down of 32B's
TARGET, REPEATS = 1.0, 5


def bench_linear() -> list[Row]:
    """One row per shape: tokens through the layer and back."""
    return [_compare(*shape) for shape in SHAPES]


def _compare(inputs: int, outputs: int) -> Row:
    import torch
    import torch.nn.functional as F

    from pipelines.policies.local.linear import by_onednn, linear, onednn_is_faster

    torch.set_num_threads(1)
    x, weight = torch.randn(TOKENS, inputs, requires_grad=True), torch.randn(outputs, inputs, requires_grad=True)
    gradient = torch.randn(TOKENS, outputs)

    def layer(product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[[], None]:
        def calls() -> None:
            for _ in range(CALLS):
                x.grad = weight.grad = None
                product(x, weight).backward(gradient)

        return calls

    name = f"linear layer {inputs} -> {outputs}, forward and backward"
    theirs, ours = layer(F.linear if onednn_is_faster() else by_onednn), layer(linear)
    theirs(), ours()  # warm-up
    pairs = take_turns(lambda: cpu_seconds(theirs), lambda: cpu_seconds(ours), REPEATS, name)
    return at_least(name, pairs, TARGET, "tokens/CPU s", amount=CALLS * TOKENS)
