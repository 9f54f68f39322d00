"""GiGPO: A = A_E + w·A_S. A_E = (R − mean) / (std + ε) over the task; A_S = (Ret − mean) / (std + ε) over the steps of the task
that start in the same state, Ret = Σ_k γ^k r_{t+k}; a state that one step alone starts in has A_S = 0.

https://arxiv.org/abs/2505.10978. Verified in the reference code (verl-agent, ``core_gigpo.py``): both normalisations, the unbiased
std, revisits as members, the penalty taken off Ret after discounting, the pooling over rows that is its default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from empg.credit.columns import Column
from empg.credit.settings import Settings, not_negative, number, positive

if TYPE_CHECKING:
    from empg.credit.batch import Credit, StepBatch


@dataclass(frozen=True)
class GiGPO(Settings):
    """``weight``: w. ``gamma``: γ. ``eps``: ε. ``scale``: "std", or "none" for differences to the mean. ``pooling``: over what A_E is
    normalised (``returns.Pooling``). ``similarity``: states whose texts have at least this ``difflib`` ratio count as equal
    (verl-agent's option: .95); 1: equal ones alone."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("A_E", "advantage of the episode"),
        Column("A_S", "advantage within the state"),
    )
    weight: float = not_negative(1.0)
    gamma: float = number(0.95, gt=0, le=1)
    eps: float = positive(1e-6)
    scale: Literal["std", "none"] = "std"
    pooling: Literal["trajectory", "rows"] = "trajectory"
    similarity: float = number(1.0, gt=0, le=1)

    def estimate(self, batch: StepBatch) -> Credit:
        from empg.credit.batch import Credit
        from empg.credit.groups import cells, normalised
        from empg.credit.returns import episode_advantages, state_returns
        from empg.credit.similar import similar_states

        states_N = batch.state_before_N if self.similarity == 1 else similar_states(batch, self.similarity)
        within_N = cells(batch.group_N, states_N)
        step_N = normalised(
            state_returns(batch, self.gamma), within_N, "unbiased" if self.scale == "std" else "none", self.eps
        )
        episode_N = episode_advantages(batch, self.pooling, self.scale, self.eps)
        return Credit(episode_N + self.weight * step_N, {"A_E": episode_N, "A_S": step_N})
