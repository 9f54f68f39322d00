"""What a plan of ``policy=local`` takes for granted; printed with it."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.planning.assumptions import Usual


@dataclass(frozen=True, slots=True)
class Assumptions(Usual):
    """On a GPU, nothing measured: ``mfu``, of its tflops; ``exact``, what of them float32 products reach without TF32;
    ``bandwidth``, of its GB/s when decoding; ``step_s``, of one decoding step whatever the model; ``context_gib``, a process'
    CUDA context and cached blocks.

    On a CPU, measured on one core of an AMD EPYC (AVX-512, bfloat16 products) with SmolLM2-135M's shape: a thread's products
    reach ``thread_gflops`` in float32 (scoring 115, updates 122, decoding of 64 rows 74); decoding reads the weights at
    ``thread_gb_s`` (7.2 with 4 rows); bfloat16 is ``rounded`` times as fast (scoring 1.7, updates 1.5, decoding 2.0).
    ``process_gib``: of Python, torch and oneDNN's kernels.

    ``expert_steps``: of the steps allowed, those that the expert takes in a demonstration. ``unknown``: of a device's memory, what
    is left free besides ``headroom`` with transformers' engine, of which nothing was measured: masks, padded rows of an update, and
    what a family keeps for its backward pass are its own.
    """

    mfu: float = 0.3
    exact: float = 1 / 16
    bandwidth: float = 0.5
    step_s: float = 0.02
    context_gib: float = 1.0
    thread_gflops: float = 100.0
    thread_gb_s: float = 7.0
    rounded: float = 1.6
    process_gib: float = 0.7
    expert_steps: float = 0.5
    unknown: float = 0.18

    def kept_free(self, hosted: bool) -> float:
        """Of a device's memory."""
        return self.headroom + self.unknown * hosted

    def sentence(self, cuda: bool, hosted: bool) -> str:
        device = (
            f"products reach {self.mfu:.0%} of a GPU's tflops, in float32 a sixteenth of that, decoding {self.bandwidth:.0%} of its "
            f"bandwidth and {self.step_s * 1000:g} ms a step (nothing of this was measured)"
            if cuda
            else f"a thread's products reach {self.thread_gflops:g} GFLOP/s in float32, {self.rounded:g} times that in bfloat16, "
            f"and decoding reads weights at {self.thread_gb_s:g} GB/s, as measured on a core of an AMD EPYC with AVX-512 (half of it "
            "without)"
        )
        cache = (
            "transformers' engine, of which nothing was measured, is as fast, reads all contexts at once, padded to the longest, and "
            "transcripts anew at every turn"
            if hosted
            else "a cache is as long as the longest transcript allowed"
        )
        return (
            f"assumed: {device}; {self.play}; {cache}; the expert takes {self.expert_steps:.0%} of the steps allowed; "
            f"{self.kept_free(hosted):.0%} of the memory kept free. What other processes take is not counted."
        )


ASSUMED = Assumptions()
