"""The advantage stage: group-relative baseline, then EMPG. The mathematics is ``empg``'s; this stage lays it out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from empg import EMPGConfig, dr_grpo_advantages, grpo_advantages, modulate_advantages, rloo_advantages
from pipelines.config import AlgorithmConfig, EmpgArm
from pipelines.records import ScoredTrajectory, Trajectory


def baseline_advantages(trajectories: Sequence[Trajectory], algorithm: AlgorithmConfig) -> torch.Tensor:
    """A(i) float64[number of trajectories]: one value per trajectory, groups by ``Trajectory.group``."""
    rewards = torch.tensor([t.reward for t in trajectories], dtype=torch.float64)
    groups = torch.tensor([t.group for t in trajectories])
    match algorithm.baseline:
        case "grpo":
            return grpo_advantages(rewards, groups, eps=algorithm.advantage_eps)
        case "dr_grpo":
            return dr_grpo_advantages(rewards, groups)
        case "rloo":
            return rloo_advantages(rewards, groups)


def empg_config(arm: EmpgArm) -> EMPGConfig:
    """The arm's settings as the library's configuration."""
    return EMPGConfig.arm(arm.arm, k=arm.k, k_future=arm.k_future, zeta=arm.zeta, normalization=arm.normalization)


def score_trajectories(
    trajectories: Sequence[Trajectory], algorithm: AlgorithmConfig, arm: EmpgArm
) -> list[ScoredTrajectory]:
    """Baseline and EMPG quantities of every step of the batch. Everything in float64 until the records' float32.

    A trajectory without steps (its environment never started) takes part in its group's baseline and has no step.
    """
    baseline = baseline_advantages(trajectories, algorithm)
    lengths = torch.tensor([len(t.steps) for t in trajectories])
    owner = torch.repeat_interleave(torch.arange(len(trajectories)), lengths)
    entropies = torch.tensor([s.entropy for t in trajectories for s in t.steps], dtype=torch.float64)
    groups = torch.tensor([t.group for t in trajectories])
    modulation = modulate_advantages(
        baseline[owner],
        entropies,
        owner,
        empg_config(arm),
        step_index=torch.tensor([i for t in trajectories for i in range(len(t.steps))]),
        group_ids=groups[owner],
    )
    ends = np.cumsum(lengths.numpy())
    columns = {
        "entropy": entropies,
        "normalized_entropy": modulation.normalized_entropy,
        "gain": modulation.gain,
        "clarity": modulation.clarity,
        "raw": modulation.raw,
        "final": modulation.advantages,
    }
    arrays = {name: column.numpy().astype(np.float32) for name, column in columns.items()}
    return [
        ScoredTrajectory(
            trajectory=trajectory,
            baseline=float(baseline[i]),
            **{name: array[end - len(trajectory.steps) : end] for name, array in arrays.items()},
        )
        for i, (trajectory, end) in enumerate(zip(trajectories, ends, strict=True))
    ]


def advantage_metrics(scored: Sequence[ScoredTrajectory]) -> dict[str, float]:
    """Quantiles of the step entropy, and the ranges of g, f and A over the batch's steps."""
    if not any(len(s.trajectory.steps) for s in scored):
        return {}
    entropy = np.concatenate([s.entropy for s in scored]).astype(np.float64)
    tokens = np.concatenate([step.entropies for s in scored for step in s.trajectory.steps]).astype(np.float64)
    metrics = {"entropy/step_mean": entropy.mean(), "entropy/token_mean": tokens.mean()}
    for q in (0, 10, 25, 50, 75, 90, 100):
        metrics[f"entropy/step_q{q:03d}"] = np.quantile(entropy, q / 100)
    for name, attribute in (("g", "gain"), ("f", "clarity"), ("A_final", "final")):
        values = np.concatenate([getattr(s, attribute) for s in scored]).astype(np.float64)
        metrics |= {
            f"empg/{name}_min": values.min(),
            f"empg/{name}_mean": values.mean(),
            f"empg/{name}_max": values.max(),
        }
    return {name: float(value) for name, value in metrics.items()}
