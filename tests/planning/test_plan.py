"""What does not fit is said with the numbers and the remedy, and the remedy helps."""

from __future__ import annotations

import dataclasses
import re

import pytest

from pipelines.errors import ConfigError
from pipelines.policies.openrlhf.planning.memory import GIB
from pipelines.policies.openrlhf.planning.plan import Plan
from tests.planning.cells import LARGE, MIDDLE, SMALL, planned


def test_every_preset_fits_every_benchmark_and_arm_of_its_model() -> None:
    for model in (SMALL, MIDDLE, LARGE):
        for benchmark in ("alfworld", "webshop", "deepsearch"):
            assert planned(model, f"benchmark={benchmark}").misfits == ()


@pytest.mark.parametrize(
    ("overrides", "message", "remedy"),
    [
        (
            # logits of a micro-batch, 32,768 · 152,064 · 10 bytes; its activations, 32,768 · (225,400 + 200,704); states,
            # 16 P / 8, and the reference, 2 P / 8; gathered layers, 1,556,110,336; 4 GiB of processes and sleeping vLLM
            ["benchmark=deepsearch", "policy.cluster.logits_chunk_tokens=null"],
            r"training needs 80\.8 GiB of a GPU's 79\.2 less 7% of headroom, 7\.2 too many; logits takes 46\.4: set "
            r"policy\.cluster\.logits_chunk_tokens=1024",
            ["benchmark=deepsearch"],
        ),
        (
            # 28 · 3,692,953,600 bytes = 96.3 GiB
            ["policy.cluster.checkpoint_activations=false"],
            r"activations takes 96.3: set policy.cluster.checkpoint_activations=true",
            [],
        ),
        (
            # 0.1 · 79.2 GiB, less 14.2 / 2 of weights and 2 of workspace
            ["policy.cluster.memory_fraction=0.1"],
            r"vLLM's 7.9 GiB \(policy.cluster.memory_fraction=0.1\) hold weights of 7.1 and a KV cache of 0 tokens, and a "
            r"sequence may have 2,560: raise policy.cluster.memory_fraction",
            ["policy.cluster.memory_fraction=0.2"],
        ),
        (
            # 0.9 · 79.2 GiB, and 5.6 of the trainer: less than a whole GPU, more than 0.93 of it
            ["policy.cluster.memory_fraction=0.9"],
            r"generation needs 76\.8 GiB .*, 3\.2 too many; KV cache takes 62\.2: lower policy.cluster.memory_fraction",
            ["policy.cluster.memory_fraction=0.8"],
        ),
        (
            # 14 · 7,615,616,512 bytes asleep
            ["policy.cluster.host_memory_gib=64"],
            r"a node's host memory needs 99.3 GiB .*, 35.3 more than policy.cluster.host_memory_gib=64",
            ["policy.cluster.host_memory_gib=100"],
        ),
        (
            # 12 · 7,615,616,512 bytes / 2
            ["policy.cluster.gpus_per_node=2", "policy.cluster.gpu.memory_gib=60"],
            r"training needs .*optimizer takes 42.6: set policy.cluster.offload=optimizer",
            ["policy.cluster.gpus_per_node=2", "policy.cluster.gpu.memory_gib=60", "policy.cluster.offload=optimizer"],
        ),
    ],
)
def test_a_misfit_and_its_remedy(overrides: list[str], message: str, remedy: list[str]) -> None:
    misfits = planned(MIDDLE, *overrides).misfits
    assert any(re.search(message, misfit) for misfit in misfits), misfits
    assert planned(MIDDLE, *remedy).misfits == ()


def test_a_remedy_is_none_that_was_taken() -> None:
    everything = ["offload=parameters", "offload_reference=true", "gpu.memory_gib=12", "memory_fraction=0.9"]
    (misfit,) = (
        misfit
        for misfit in planned(MIDDLE, *(f"policy.cluster.{value}" for value in everything)).misfits
        if misfit.startswith("training")
    )
    assert "lower training.micro_batch_tokens" in misfit


def test_it_fits_to_the_last_byte() -> None:
    plan = planned(MIDDLE)
    training = plan.phases[1].total / GIB / 0.93
    assert not any(misfit.startswith("training") for misfit in with_memory(plan, training + 1e-6).misfits)
    assert any(misfit.startswith("training") for misfit in with_memory(plan, training - 1e-6).misfits)


def test_what_does_not_divide_is_remarked() -> None:
    """6,400 sequences in 25 mini-batches of 256, 32 of each for a rank; in round(6,400 / 250) = 26 of 246 or 247; in 8 of
    800, which are 100 for each of 8 ranks, and in 320 of 20."""
    assert planned(MIDDLE).remarks == planned(MIDDLE, "training.minibatch_size=800").remarks == ()
    (uneven,) = planned(MIDDLE, "training.minibatch_size=250").remarks
    assert uneven.startswith(
        "a mini-batch of 246 or 247 sequences does not divide evenly among 8 ranks: OpenRLHF needs"
    )
    (even,) = planned(MIDDLE, "training.minibatch_size=20").remarks
    assert even.startswith("a mini-batch of 20 sequences does not divide")
    assert planned(MIDDLE, "training.minibatch_size=250").misfits == ()


def test_the_largest_model_needs_its_logits_in_chunks() -> None:
    """One sequence of Deep Search: 32,768 · 152,064 · 10 bytes beside 30 GiB of activations."""
    (misfit,) = planned(LARGE, "benchmark=deepsearch", "policy.cluster.logits_chunk_tokens=null").misfits
    assert "logits takes 46.4: set policy.cluster.logits_chunk_tokens=1024" in misfit


def with_memory(plan: Plan, gib: float) -> Plan:
    gpu = plan.policy.cluster.gpu.model_copy(update={"memory_gib": gib})
    cluster = plan.policy.cluster.model_copy(update={"gpu": gpu})
    return dataclasses.replace(plan, policy=plan.policy.model_copy(update={"cluster": cluster}))


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        (MIDDLE, 8, "tensor_parallel=8 does not divide qwen2.5-7b's 28 attention heads and 4 KV heads"),
        (SMALL, 8, "tensor_parallel=8 does not divide qwen2.5-1.5b's 12 attention heads"),
    ],
)
def test_heads_are_not_divided(model: str, size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(model, "policy.cluster.gpus_per_node=8", f"policy.cluster.tensor_parallel={size}")


def test_a_context_beyond_the_model_is_cut() -> None:
    longest = planned(MIDDLE, "rollout.max_context_tokens=40000", "training.micro_batch_tokens=65536").work.longest
    assert longest == 32_768
