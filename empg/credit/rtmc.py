"""RTMC: A = Q̂(s, a) − V̂(s). Q̂: mean of the discounted returns of the task's trajectories from their first visit of (s, a) on;
V̂ = (Σ of these returns at s + n·R̄) / (their number + n), R̄ the mean reward of the task.

https://arxiv.org/abs/2604.11037. From a secondary source: a port of it to prime-rl, which names the paper's equation 11 for V̂, first
visits, γ = .99, n = 2, and the division by the standard deviation as the paper's option.

R̄ is not discounted and Q̂ is. So with γ < 1 and n > 0 a task whose trajectories are all paid alike gives its early steps A < 0, the
smaller γ^(steps left) the more; γ = 1 gives them 0, and so does n = 0 where no state has two actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from empg.credit.columns import Column
from empg.credit.settings import Settings, not_negative, number

if TYPE_CHECKING:
    from empg.credit.batch import Credit, StepBatch


@dataclass(frozen=True)
class RTMC(Settings):
    """``gamma``: γ. ``prior``: n, visits that R̄ counts for; 0: V̂ is the mean alone. ``visits``: "first" of each trajectory, or
    "every". ``scale``: "std" divides by the population std of the task's A, without centring."""

    columns: ClassVar[tuple[Column, ...]] = (Column("Q", "value of the action"), Column("V", "value of the state"))
    gamma: float = number(0.99, gt=0, le=1)
    prior: float = not_negative(2.0)
    visits: Literal["first", "every"] = "first"
    scale: Literal["std", "none"] = "std"

    def estimate(self, batch: StepBatch) -> Credit:
        import torch

        from empg.credit.batch import Credit
        from empg.credit.groups import cells, first_rows, means, normalised
        from empg.credit.returns import reward_to_go

        returns_N = reward_to_go(batch, batch.step_reward_N, self.gamma)
        state_N = cells(batch.group_N, batch.state_before_N)
        edge_N = cells(state_N, batch.action_N)
        counted_N = torch.ones_like(returns_N)
        if self.visits == "first":
            counted_N = first_rows(cells(edge_N, batch.trajectory_N), batch.index_N).double()
        q_N = means(returns_N, edge_N, counted_N)
        visits_N = torch.zeros(len(state_N), dtype=torch.float64).index_add(0, state_N, counted_N)[state_N]
        mean_N = batch.per_step(means(batch.reward_T, cells(batch.group_T)))
        v_N = (visits_N * means(returns_N, state_N, counted_N) + self.prior * mean_N) / (visits_N + self.prior)
        advantages_N = q_N - v_N
        if self.scale == "std":
            variance_N = means(normalised(advantages_N, batch.group_N, "none", 1.0) ** 2, cells(batch.group_N))
            advantages_N = advantages_N / torch.where(variance_N > 1e-16, variance_N.sqrt(), 1.0)
        return Credit(advantages_N, {"Q": q_N, "V": v_N})
