"""Dr. GRPO: A(i) = R − mean of the group, one value for all steps of a trajectory.

Understanding R1-Zero-Like Training, https://arxiv.org/abs/2503.20783
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from empg.credit.columns import Column
from empg.credit.settings import Settings

if TYPE_CHECKING:
    from empg.credit.batch import Credit, StepBatch


@dataclass(frozen=True)
class DrGRPO(Settings):
    """It has no setting."""

    columns: ClassVar[tuple[Column, ...]] = ()

    def estimate(self, batch: StepBatch) -> Credit:
        from empg.advantage import dr_grpo_advantages
        from empg.credit.batch import Credit

        return Credit(batch.per_step(dr_grpo_advantages(batch.reward_T, batch.group_T)))
