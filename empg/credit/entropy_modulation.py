"""EMPG: A_mod = A·g(H_t) + ζ·f(H_{t+1}), less its mean over the batch. The mathematics is ``empg.modulation``'s.

Harnessing Uncertainty, https://arxiv.org/abs/2509.09265
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from empg.credit.columns import Column
from empg.credit.settings import Settings, not_negative

if TYPE_CHECKING:
    import torch

    from empg.credit.batch import Credit, StepBatch


@dataclass(frozen=True)
class EMPG(Settings):
    """The settings are ``EMPGConfig``'s.

    ``arm``: of the ablation, one of ``empg.ARMS``. ``k``, ``k_future``: sharpness of g and of f. ``zeta``: ζ, weight of the
    future bonus. ``normalization``: scope of the entropies' min and max and of g's mean, the batch (the paper) or a task's
    steps. ``min_range`` (nats): where the entropies of a scope span less, g is 1 and f is 0; 0, the paper: nowhere."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("H", "step entropy", "nats"),
        Column("H_norm", "normalised step entropy"),
        Column("g", "gain"),
        Column("f", "clarity of the next step"),
        Column("A_mod", "modulated advantage"),
    )
    arm: Literal["off", "gradient_scaling", "future_bonus", "full", "center_only"] = "full"
    k: float = not_negative(1.0)
    k_future: float = not_negative(1.0)
    zeta: float = not_negative(0.05)
    normalization: Literal["batch", "group"] = "batch"
    min_range: float = not_negative(0.0)

    def modulate(self, batch: StepBatch, advantages_N: torch.Tensor) -> Credit:
        from empg.credit.batch import Credit
        from empg.modulation import EMPGConfig, modulate_advantages

        config = EMPGConfig.arm(
            self.arm, k=self.k, k_future=self.k_future, zeta=self.zeta, normalization=self.normalization,
            min_range=self.min_range,
        )  # fmt: skip
        found = modulate_advantages(
            advantages_N, batch.entropy_N, batch.trajectory_N, config,
            step_index=batch.index_N, group_ids=batch.group_N,
        )  # fmt: skip
        columns = {
            "H": batch.entropy_N,
            "H_norm": found.normalized_entropy,
            "g": found.gain,
            "f": found.clarity,
            "A_mod": found.raw,
        }
        return Credit(found.advantages, columns)
