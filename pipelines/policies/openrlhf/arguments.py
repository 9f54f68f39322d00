"""The settings as OpenRLHF's own classes read them: the nested namespace that its command line makes."""

from __future__ import annotations

from types import SimpleNamespace as Names

from pipelines.config import UpdateSettings
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig


def arguments(policy: OpenrlhfPolicyConfig, temperature: float) -> Names:
    """What holds for the whole run. What an update sets is in ``set_objective``."""
    cluster = policy.cluster
    colocated = cluster.placement == "colocated" and cluster.device == "cuda"
    without_packing = "sdpa" if cluster.device == "cuda" else "eager"
    return Names(
        local_rank=-1,
        rollout=Names(temperature=temperature),
        ds=Names(
            zero_stage=cluster.zero_stage,
            param_dtype="bf16" if policy.dtype == "bfloat16" else "fp32",
            attn_implementation="flash_attention_2" if cluster.packing else without_packing,
            packing_samples=cluster.packing,
            adam_offload=cluster.offload != "none",
            enable_sleep=colocated,
            tensor_parallel_size=1,
            ring_attn_size=1,
            zpg=1,
            overlap_comm=cluster.device == "cuda",
            grad_accum_dtype="fp32",
        ),
        train=Names(max_epochs=1, dynamic_batch_enable=True, colocate_all=colocated, async_enable=False, enable_ema=False),
        vllm=Names(
            num_engines=cluster.engine_gpus // cluster.tensor_parallel,
            tensor_parallel_size=cluster.tensor_parallel,
            sync_backend="nccl",
            enable_prefix_caching=True,
        ),
        actor=Names(
            eps_clip_low_high=(0.2, 0.2), dual_clip=None, loss_agg_mode="token-mean", policy_loss_type="ppo",
            aux_loss_coef=0.0, entropy_coef=0.0,
        ),
        algo=Names(
            kl=Names(use_loss=True, init_coef=0.0, estimator="k3", unbiased_gradient=False),
            advantage=Names(
                is_correction_level="off" if policy.importance_cap is None else "token", is_correction_mode="clip",
                is_correction_gating="ratio", is_correction_threshold=(0.0, policy.importance_cap or 1.0),
            ),
        ),
    )  # fmt: skip


def set_objective(names: Names, settings: UpdateSettings) -> None:
    """What one update asks for."""
    names.actor.eps_clip_low_high = (settings.clip_low, settings.clip_high)
    names.actor.dual_clip = settings.dual_clip
    # A constant length is the mean over tokens but for its divisor, which the totals hold.
    constant = settings.aggregation == "constant-length"
    names.actor.loss_agg_mode = "token-mean" if constant else settings.aggregation
    names.actor.entropy_coef = settings.entropy_coefficient
    names.algo.kl.init_coef = settings.kl_coefficient
    names.algo.kl.estimator = settings.kl_estimator
