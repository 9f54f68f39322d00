"""The machines of a policy that spans several processes, and how it is spread over them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.planning.devices import GpuSettings
from pipelines.sections import Float, Int, NonNegativeInt, Positive, PositiveInt, Section

_LAST_PORT = 65_535


class ClusterConfig(Section):
    """How a policy is spread. Rounding apart, which no two launches of these engines share, nothing here bears on the numbers: the
    section is no part of any fingerprint, and a run may go on with another one, but for the number of ranks and the ZeRO stage,
    which its checkpoints have.

    ``device``: cuda, or cpu, the twin without a GPU, where a GPU stands for a rank. ``nodes``: machines. ``gpus_per_node``: GPUs
    that it takes of each. ``gpu``: what plans and checks reckon with. ``host_memory_gib``: memory of a machine. ``placement``:
    colocated, vLLM and the trainer take turns on all GPUs; separate, some are vLLM's own. ``generation_gpus``: those GPUs of vLLM's
    own. ``tensor_parallel``: GPUs of one vLLM engine. ``memory_fraction``: what vLLM takes of a GPU. ``zero_stage``: DeepSpeed's;
    lower ones keep bfloat16's optimizer states where they cannot be put to sleep. ``offload``: what DeepSpeed keeps in host memory;
    parameters includes the optimizer. ``offload_reference``: the KL loss's model waits in host memory (stage 3).
    ``checkpoint_activations``: the trainer computes activations again in the backward pass. ``packing``: rows of a micro-batch lie
    behind one another without padding, by flash attention. ``logits_chunk_tokens``: tokens whose logits exist at once in the
    trainer; None: a whole micro-batch's, as OpenRLHF does it. ``ray_address``: of a Ray that runs already; None: that of
    $RAY_ADDRESS, else one is started on this machine.

    How many tokens a micro-batch has: ``training.micro_batch_tokens``."""

    device: Literal["cuda", "cpu"] = "cuda"
    nodes: PositiveInt = 1
    gpus_per_node: PositiveInt
    gpu: GpuSettings
    host_memory_gib: Positive
    placement: Literal["colocated", "separate"] = "colocated"
    generation_gpus: NonNegativeInt = 0
    tensor_parallel: PositiveInt = 1
    memory_fraction: Annotated[Float, Field(gt=0, lt=1)] = 0.5
    zero_stage: Annotated[Int, Field(ge=2, le=3)] = 2
    offload: Literal["none", "optimizer", "parameters"] = "none"
    offload_reference: bool = False
    checkpoint_activations: bool = True
    packing: bool = True
    logits_chunk_tokens: PositiveInt | None = None
    ray_address: str | None = None

    @field_validator("ray_address")
    @classmethod
    def _is_an_address(cls, address: str | None) -> str | None:
        if address in (None, "auto"):
            return address
        found = re.fullmatch(r"(ray://)?[\w.-]+:(\d{1,5})", address)
        if found is None:
            raise ValueError("write auto, host:port or ray://host:port, or null")
        if not 1 <= int(found[2]) <= _LAST_PORT:
            raise ValueError(f"a port is a number from 1 to {_LAST_PORT}")
        return address

    @property
    def gpus(self) -> int:
        return self.nodes * self.gpus_per_node

    @property
    def engine_gpus(self) -> int:
        """GPUs that vLLM's engines run on."""
        return self.gpus if self.placement == "colocated" else self.generation_gpus

    @property
    def ranks(self) -> int:
        """The trainer's processes, one per GPU."""
        return self.gpus if self.placement == "colocated" else self.gpus - self.generation_gpus

    @property
    def ranks_per_node(self) -> int:
        """At most; vLLM's own GPUs may all be another node's."""
        return min(self.ranks, self.gpus_per_node)

    @model_validator(mode="after")
    def _can_be(self) -> ClusterConfig:
        self._check_placement()
        self._check_engines()
        self._check_trainer()
        return self

    def _check_placement(self) -> None:
        if self.placement == "colocated" and self.generation_gpus:
            raise ValueError(
                f"generation_gpus={self.generation_gpus} are vLLM's own, and placement=colocated gives it none: set "
                "placement=separate, or generation_gpus=0"
            )
        if self.placement == "separate" and not 0 < self.generation_gpus < self.gpus:
            raise ValueError(
                f"placement=separate needs generation_gpus between 1 and {self.gpus - 1} of {self.gpus} GPUs, not "
                f"{self.generation_gpus}: the trainer has the rest"
            )

    def _check_engines(self) -> None:
        size = self.tensor_parallel
        fitting = [
            n for n in range(1, self.gpus_per_node + 1) if not self.engine_gpus % n and not self.gpus_per_node % n
        ]
        if size not in fitting:
            raise ValueError(
                f"tensor_parallel={size} does not divide generation's {self.engine_gpus} GPUs in nodes of "
                f"{self.gpus_per_node}: choose one of {', '.join(map(str, fitting))}"
            )

    def _check_trainer(self) -> None:
        if self.offload == "parameters" and self.zero_stage < 3:
            raise ValueError(
                f"offload=parameters needs zero_stage 3, not {self.zero_stage}: raise it, or set offload=optimizer"
            )
        if self.offload_reference and self.zero_stage < 3 and self.device == "cuda":
            raise ValueError(
                f"offload_reference=true needs zero_stage 3, not {self.zero_stage}: below it DeepSpeed keeps a frozen model "
                "on the GPU all the same; raise it, or set offload_reference=false"
            )
        if self.device == "cpu" and (self.packing or self.offload != "none" or self.offload_reference):
            wrong = (
                "packing=true"
                if self.packing
                else f"offload={self.offload}, offload_reference={self.offload_reference}"
            )
            raise ValueError(
                f"device=cpu has no flash attention and nothing to offload from, so {wrong} cannot be: set packing=false, "
                "offload=none, offload_reference=false"
            )
