"""GraphGPO: A = A_E + w·A_S. A_S = (r − mean) / (std + ε) over the steps of the task that leave the same state, r = 10·γ^d less
the step's penalty, d the steps from s' to the nearest success in the task's graph, and the step itself.

https://arxiv.org/abs/2605.26684. From a secondary source: a reproduction, which has both conventions: the paper's equation 4 counts
the step itself (d(s') + 1), the reference code does not (d(s')). γ: .10 on ALFWorld, .20 on WebShop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from empg.credit.columns import Column
from empg.credit.settings import Settings, not_negative, number, positive

if TYPE_CHECKING:
    from empg.credit.batch import Credit, StepBatch


@dataclass(frozen=True)
class GraphGPO(Settings):
    """``weight``: w. ``gamma``: γ. ``eps``: ε. ``reward``: what success pays. ``distance``: "with_step" is the paper's d, "after_step"
    the reference code's. ``scale``, ``pooling``: as GiGPO's. Without a success in the task A_S is 0; from where none is reached, d is
    one more than the task's largest."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("A_E", "advantage of the episode"),
        Column("A_S", "advantage within the state"),
        Column("d", "distance to success after the step", "steps"),
    )
    weight: float = not_negative(1.0)
    gamma: float = number(0.1, gt=0, le=1)
    reward: float = positive(10.0)
    eps: float = positive(1e-6)
    scale: Literal["std", "none"] = "std"
    pooling: Literal["trajectory", "rows"] = "trajectory"
    distance: Literal["with_step", "after_step"] = "with_step"

    def estimate(self, batch: StepBatch) -> Credit:
        import torch

        from empg.credit.batch import Credit
        from empg.credit.graph import distances, transition_graph
        from empg.credit.groups import cells, means, normalised
        from empg.credit.returns import episode_advantages, penalties

        graph = transition_graph(batch)
        target_N = torch.where(batch.last_N & batch.per_step(batch.success_T), graph.end_N, graph.after_N)
        reached_U = distances(graph, target_N)
        finite_U = torch.where(reached_U.isfinite(), reached_U, 0.0)
        largest_K = torch.zeros_like(finite_U).scatter_reduce(0, graph.task_U, finite_U, "amax")
        distance_N = torch.where(reached_U.isfinite(), reached_U, largest_K[graph.task_U] + 1.0)[target_N]
        pays_N = self.reward * self.gamma ** (distance_N + int(self.distance == "with_step")) - penalties(batch)
        step_N = normalised(pays_N, graph.source_N, "unbiased" if self.scale == "std" else "none", self.eps)
        solved_T = means(batch.success_T.double(), cells(batch.group_T)) > 0
        step_N = torch.where(batch.per_step(solved_T), step_N, 0.0)
        episode_N = episode_advantages(batch, self.pooling, self.scale, self.eps)
        return Credit(episode_N + self.weight * step_N, {"A_E": episode_N, "A_S": step_N, "d": distance_N})
