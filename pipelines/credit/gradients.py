"""Inner products of the gradients that steps give, in all weights of the policy that played them: Kᵢⱼ = ⟨∇ log πᵢ, ∇ log πⱼ⟩.

With them the cosine of any two policy gradients Σ A·∇ log π on the measured steps is a quadratic form, and no gradient is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from pipelines import policies
from pipelines.config import ExperimentConfig
from pipelines.config.views import PolicyView
from pipelines.credit.lineage import Lineage
from pipelines.credit.oracle import remember
from pipelines.credit.truth import Measured
from pipelines.environments.base import Tick
from pipelines.errors import ConfigError
from pipelines.records import TrainingSequence, Trajectory
from pipelines.stages.reading import read_rollout
from pipelines.stages.sequences import unscored_rows
from pipelines.stages.session import Session

MOST_BYTES = 1 << 31  # of the gradients that are held at once, those of one iteration's steps
Products = npt.NDArray[np.float64]


def measure_products(
    session: Session, experiment: ExperimentConfig, lineage: Lineage, oracle: pa.Table, tick: Tick
) -> Products:
    """Of the rows of an ORACLE table, [N, N]; 0 for steps of two iterations, whose policies are two. Where the checkpoint that played
    was pruned, it is made again.

    Raises:
        ConfigError: the model has too many weights for so many steps.
    """
    places = Measured.of(oracle).places
    iterations = np.array([i for i, *_ in places])
    products, done = np.zeros((len(places), len(places))), 0
    remember(session, experiment, lineage)
    live = session.policy(PolicyView.of(experiment), lineage.initial)
    for i in sorted(set(iterations.tolist())):
        batch = {(t.group, t.member): t for t in read_rollout(lineage.iterations[i].rollout).batch()}
        rows = [step_row(batch[group, member], step) for at, group, member, step in places if at == i]
        here = np.flatnonzero(iterations == i)
        with TemporaryDirectory() as folder:
            live.at(lineage.iterations[i].policy).learner.save(Path(folder))
            model, adapter = Path(folder, "model"), Path(folder, "adapter")
            if adapter.is_dir():
                policies.merge_adapter(lineage.initial.tree("model"), adapter, model)
            products[np.ix_(here, here)] = score_products(model, rows, temperature=experiment.rollout.temperature)
        done += len(rows)
        tick(done / len(places))
    return products


def step_row(trajectory: Trajectory, step: int) -> TrainingSequence:
    """What the policy saw before the step, and the step's tokens, which alone are masked in."""
    (row,) = (row for row in unscored_rows(trajectory) if step in row.step_ids)
    end = int(np.flatnonzero(row.step_ids == step)[-1]) + 1
    return TrainingSequence(
        token_ids=row.token_ids[:end],
        action_mask=row.step_ids[:end] == step,
        behaviour_logprobs=row.behaviour_logprobs[:end],
        advantages=row.advantages[:end],
        step_ids=row.step_ids[:end],
    )


def score_products(model: Path, rows: Sequence[TrainingSequence], *, temperature: float) -> Products:
    """[N, N]: of ∇ log π summed over the masked tokens of each row, at this temperature, in all weights of a Hugging Face folder's
    model, float32. Raises ConfigError: the gradients of all rows do not fit into ``MOST_BYTES``."""
    from transformers import AutoModelForCausalLM

    policy = AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.float32, local_files_only=True, trust_remote_code=False
    ).eval()
    weights = list(policy.parameters())
    size = sum(weight.numel() for weight in weights)
    if len(rows) * size * 4 > MOST_BYTES:
        raise ConfigError(
            f"the gradients of {len(rows)} steps in {size:,} weights take {len(rows) * size * 4 / 2**30:.1f} GiB, of which "
            f"{MOST_BYTES / 2**30:.0f} are held: give oracle= one of fewer steps; scores without the gradient need none of this"
        )
    gradients = torch.empty(len(rows), size)
    for gradient, row in zip(gradients, rows, strict=True):
        tokens = torch.from_numpy(row.token_ids.astype(np.int64))
        places = torch.from_numpy(np.flatnonzero(row.action_mask))
        logits = policy(tokens[None]).logits[0, places - 1] / temperature
        logprob = logits.log_softmax(-1).gather(1, tokens[places, None]).sum()
        gradient.copy_(torch.cat([part.flatten() for part in torch.autograd.grad(logprob, weights)]))
    return (gradients @ gradients.T).double().numpy()
