"""What a plan takes for granted; printed with it."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.planning.assumptions import Usual


@dataclass(frozen=True, slots=True)
class Assumptions(Usual):
    """``mfu``: of the GPU's tflops, what matrix products reach; ``bandwidth``: of its bandwidth, what decoding reaches;
    ``decode_step_s``: what a decoding step costs whatever the model.

    Counted by themselves are ``process_gib``: a process's CUDA context and communication buffers (NCCL's), or without a GPU its
    libraries (measured: 1.17 of the trainer's, .6 of vLLM's);
    ``asleep_gib``: what a sleeping vLLM keeps; ``workspace_gib``: vLLM's activations.

    ``pcie_gb_s``: what a GPU exchanges with its host in one direction (PCIe 4.0 ×16 has 32 on paper); ``host_gb_s``: of a
    node's memory bandwidth, what the optimizer reaches there. Neither overlaps with the GPUs' work.
    """

    mfu: float = 0.4
    bandwidth: float = 0.6
    decode_step_s: float = 0.008
    process_gib: float = 1.0
    asleep_gib: float = 2.0
    workspace_gib: float = 2.0
    pcie_gb_s: float = 20.0
    host_gb_s: float = 100.0

    def sentence(self) -> str:
        return (
            f"assumed: matrix products reach {self.mfu:.0%} of a GPU's tflops, decoding {self.bandwidth:.0%} of its "
            f"bandwidth and {self.decode_step_s * 1000:g} ms a step; {self.play}; {self.process_gib:g} GiB for a process' CUDA "
            f"context and communication buffers (without a GPU: its libraries), {self.asleep_gib:g} for a sleeping vLLM, "
            f"{self.workspace_gib:g} for its workspace; {self.headroom:.0%} of a GPU's memory kept free for fragmentation and short "
            f"peaks; {self.pcie_gb_s:g} GB/s between a GPU and its host, {self.host_gb_s:g} for an optimizer there. Nothing was "
            "measured."
        )


ASSUMED = Assumptions()
