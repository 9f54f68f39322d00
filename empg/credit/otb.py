"""OTB: A = G_t − B_t, B_t = Σ_i G_{i,t} W_{i,t} / (Σ_i W_{i,t} + 1e-8) over the task's trajectories that have a step t;
W_t = Σ_{j≤t} ‖∇ log π‖² of the tokens up to and with step t, each 1 − 2π + Σπ²; G: reward to go.

https://arxiv.org/abs/2602.07078. Verified in the reference code (verl, ``compute_optimal_token_baseline_advantage``), whose t are
tokens. Here they are steps, for an advantage is a step's. Its default gives no baseline where one trajectory alone is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from empg.credit.columns import Column
from empg.credit.settings import Settings

if TYPE_CHECKING:
    from empg.credit.batch import Credit, StepBatch


@dataclass(frozen=True)
class OTB(Settings):
    """``tail``: the baseline of a step that no other trajectory of the task is long enough for: "own", the formula's, so that A
    is 0, or "none", verl's default, so that A is G."""

    needs: ClassVar[tuple[str, ...]] = ("squared_score_N",)
    columns: ClassVar[tuple[Column, ...]] = (Column("B", "baseline"), Column("W", "accumulated squared score"))
    tail: Literal["own", "none"] = "own"

    def estimate(self, batch: StepBatch) -> Credit:
        import torch

        from empg.credit.batch import Credit
        from empg.credit.groups import cells, sizes
        from empg.credit.returns import reward_to_go, sums_so_far

        if batch.squared_score_N is None:
            raise ValueError(
                "OTB needs squared_score_N, which the batch has not: the policy did not record Σπ² of its tokens"
            )
        returns_N = reward_to_go(batch, batch.step_reward_N, 1.0)
        weight_N = sums_so_far(batch, batch.squared_score_N)
        turn_N = cells(batch.group_N, batch.index_N)
        zeros = torch.zeros(len(turn_N), dtype=torch.float64)
        above, below = (zeros.index_add(0, turn_N, values_N) for values_N in (returns_N * weight_N, weight_N))
        baseline_N = (above / (below + 1e-8))[turn_N]
        if self.tail == "none":
            baseline_N = torch.where(sizes(turn_N) > 1, baseline_N, 0.0)
        return Credit(returns_N - baseline_N, {"B": baseline_N, "W": weight_N})
