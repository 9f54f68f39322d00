"""What a plan takes for granted; printed with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Assumptions:
    """``mfu``: of the GPU's tflops, what matrix products reach; ``bandwidth``: of its bandwidth, what decoding reaches;
    ``decode_step_s``: what a decoding step costs whatever the model. ``prompt_fill``: of the longest prompt (or
    transcript) allowed, the usual one; ``answer_tokens``: of a usual action; ``kept_groups``: of the groups played, what
    dynamic sampling keeps. Episodes play every step; environments answer at once. ``process_gib``: a process's CUDA
    context and communication buffers; ``asleep_gib``: what a sleeping vLLM keeps; ``workspace_gib``: vLLM's activations.
    """

    mfu: float = 0.4
    bandwidth: float = 0.6
    decode_step_s: float = 0.008
    prompt_fill: float = 0.5
    answer_tokens: int = 200
    kept_groups: float = 0.5
    process_gib: float = 1.0
    asleep_gib: float = 2.0
    workspace_gib: float = 2.0


ASSUMED = Assumptions()
