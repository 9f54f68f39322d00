"""GRPO: A(i) = (R − mean) / (std + ε), the group's mean and unbiased std, one value for all steps of a trajectory.

DeepSeekMath, https://arxiv.org/abs/2402.03300
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from empg.credit.columns import Column
from empg.credit.settings import Settings, positive

if TYPE_CHECKING:
    from empg.credit.batch import Credit, StepBatch


@dataclass(frozen=True)
class GRPO(Settings):
    """``eps``: ε. A group of one, and one of equal rewards, has advantage 0."""

    columns: ClassVar[tuple[Column, ...]] = ()
    eps: float = positive(1e-6)

    def estimate(self, batch: StepBatch) -> Credit:
        from empg.advantage import grpo_advantages
        from empg.credit.batch import Credit

        return Credit(batch.per_step(grpo_advantages(batch.reward_T, batch.group_T, eps=self.eps)))
