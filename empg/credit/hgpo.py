"""HGPO: A = Σ_k w_k a_k / (Σ_k w_k + ε), w_k = (k + 1)^α. a_k = (Ret − mean) / (std + ε) over the steps of the task whose last k
states, this one included, are the same; k = 1 … min(K + 1, t + 1). An a_k that is exactly 0 stays out of both sums.

https://arxiv.org/abs/2602.22817. Verified in the reference code (verl-agent, ``recipe/hgpo``): the weights, the population std, the
zeros, no advantage of the episode (its option ``base_group`` is left out here). Ret is GiGPO's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from empg.credit.columns import Column
from empg.credit.settings import Settings, not_negative, number, positive

if TYPE_CHECKING:
    from empg.credit.batch import Credit, StepBatch


@dataclass(frozen=True)
class HGPO(Settings):
    """``history``: K, states before the present one at most. ``alpha``: α; 0 weighs all lengths alike. ``gamma``: γ. ``eps``: ε.
    ``scale``: "std", or "none" for differences to the mean."""

    columns: ClassVar[tuple[Column, ...]] = (Column("k", "longest shared history", "states"),)
    history: int = number(2, ge=0)
    alpha: float = not_negative(1.0)
    gamma: float = number(0.95, gt=0, le=1)
    eps: float = positive(1e-6)
    scale: Literal["std", "none"] = "std"

    def estimate(self, batch: StepBatch) -> Credit:
        import torch

        from empg.credit.batch import Credit
        from empg.credit.groups import normalised
        from empg.credit.returns import clusters, state_returns

        returns_N = state_returns(batch, self.gamma)
        total_N, weight_N, longest_N = (torch.zeros_like(returns_N) for _ in range(3))
        for k, same_N in enumerate(clusters(batch, self.history + 1), 1):
            a_N = normalised(returns_N, same_N, "population" if self.scale == "std" else "none", self.eps)
            counts_N = (a_N != 0) & (batch.index_N >= k - 1)  # a shorter past is in no cluster
            own_N = (k + 1.0) ** self.alpha * counts_N.double()
            total_N += own_N * a_N
            weight_N += own_N
            longest_N = torch.where(counts_N, float(k), longest_N)
        return Credit(total_N / (weight_N + self.eps), {"k": longest_N})
