"""RLOO: A(i) = R − mean of the group's others, one value for all steps of a trajectory.

Back to Basics, https://arxiv.org/abs/2402.14740
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from empg.credit.columns import Column
from empg.credit.settings import Settings

if TYPE_CHECKING:
    from empg.credit.batch import Credit, StepBatch


@dataclass(frozen=True)
class RLOO(Settings):
    """It has no setting. A group of one has advantage 0."""

    columns: ClassVar[tuple[Column, ...]] = ()

    def estimate(self, batch: StepBatch) -> Credit:
        from empg.advantage import rloo_advantages
        from empg.credit.batch import Credit

        return Credit(batch.per_step(rloo_advantages(batch.reward_T, batch.group_T)))
