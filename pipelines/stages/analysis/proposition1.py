"""Proposition 1 on real policies: E_a‖∇_z log π(a)‖² = 1 − exp(−H₂), at tokens of the first rollout, before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from empg.theory import expected_squared_score_norm, renyi2_entropy
from pipelines.records import Trajectory
from pipelines.schemas import PROPOSITION1
from pipelines.seeds import derive_seed
from pipelines.stages.sequences import unscored_rows

TOKENS = 32  # per policy; each costs a gradient of V entries per action
# Of a larger vocabulary so many actions, a token's most probable ones, have their gradients by automatic differentiation.
LARGEST_WHOLE, MOST_ACTIONS = 8192, 64
_AT_ONCE = 1 << 24  # entries of gradients: 128 MiB of float64


def proposition1(
    trajectories: Sequence[Trajectory],
    models: Mapping[str, Path],
    token_logits: Callable[..., torch.Tensor],
    *,
    seed: int,
) -> pa.Table:
    """A row per model (a Hugging Face folder by its name in the column ``policy``) and token of a seeded sample of the action
    tokens, whose logits ``token_logits`` gives (``PolicySpec.token_logits`` at the rollouts' temperature): H₂ (nats), the
    proposition's value, and ``measured``, the exact expectation of ‖∇_z log π(a)‖² over all actions with gradients by
    automatic differentiation, but for the improbable actions of a large vocabulary, whose norms are the closed form's.
    ``differentiated``: the probability of the actions that are not."""
    rows = [(t, row) for t in trajectories for row in unscored_rows(t)]
    actions = np.cumsum([0, *(np.count_nonzero(row.action_mask) for _, row in rows)])  # before each row
    rng = np.random.Generator(np.random.Philox(key=derive_seed(seed, "proposition1")))
    if not actions[-1]:
        return PROPOSITION1.of([])
    chosen = np.sort(rng.choice(actions[-1], min(TOKENS, actions[-1]), replace=False))
    of_rows = np.searchsorted(actions, chosen, side="right") - 1
    places = [
        (int(i), int(np.flatnonzero(rows[i][1].action_mask)[n - actions[i]]))
        for i, n in zip(of_rows, chosen, strict=True)
    ]
    found = []
    for name, folder in models.items():
        logits = token_logits(folder, [row for _, row in rows], places).double()
        pi, examined = logits.softmax(-1), _examined(logits)
        norms = 1.0 - 2.0 * pi + pi.square().sum(-1, keepdim=True)  # the closed form, which the gradients replace
        norms.scatter_(1, examined, squared_score_norms(logits, examined))
        columns = {
            "renyi2_entropy": renyi2_entropy(logits),
            "predicted": expected_squared_score_norm(logits),
            "measured": (pi * norms).sum(-1),
            "differentiated": pi.gather(1, examined).sum(-1),
        }
        for n, (i, token) in enumerate(places):
            trajectory, row = rows[i]
            at = {"group": trajectory.group, "member": trajectory.member, "step": int(row.step_ids[token])}
            found.append({"policy": name} | at | {column: float(values[n]) for column, values in columns.items()})
    return PROPOSITION1.of(found)


def _examined(logits_NV: torch.Tensor) -> torch.Tensor:
    """int64 [N, K]: the actions whose gradients are taken."""
    vocabulary = logits_NV.shape[1]
    if vocabulary <= LARGEST_WHOLE:
        return torch.arange(vocabulary).expand(len(logits_NV), -1)
    return logits_NV.topk(MOST_ACTIONS).indices


def squared_score_norms(logits_NV: torch.Tensor, actions_NK: torch.Tensor) -> torch.Tensor:
    """‖∇_z log π(a)‖² of the actions, [N, K], by automatic differentiation: the closed form is what this checks."""
    rows = max(1, _AT_ONCE // logits_NV.shape[1])
    return torch.stack([
        torch.cat([_of_some(logits, some) for some in actions.split(rows)])
        for logits, actions in zip(logits_NV, actions_NK, strict=True)
    ])  # fmt: skip


def _of_some(logits_V: torch.Tensor, actions_K: torch.Tensor) -> torch.Tensor:
    """Row a of K copies of the logits gets the gradient of log π(a)."""
    copies = logits_V.expand(len(actions_K), -1).clone().requires_grad_()
    (gradients,) = torch.autograd.grad(copies.log_softmax(-1).gather(1, actions_K[:, None]).sum(), copies)
    return gradients.square().sum(-1)
