"""What does not fit is said with the numbers and the remedy, and the remedy helps."""

from __future__ import annotations

import dataclasses
import re

import pytest

from flows.configure.compose import CONF
from pipelines.errors import ConfigError
from pipelines.planning import advice
from pipelines.planning.memory import GIB
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
            # 18 P / 8, and the reference, 2 P / 8; gathered layers, 1,556,110,336; a bucket of 1e9; 3 GiB of a process and
            # sleeping vLLM. A micro-batch is one sequence.
            ["benchmark=deepsearch", "policy.cluster.logits_chunk_tokens=null"],
            r"training needs 82\.5 GiB of a GPU's 79\.2 less 7% of headroom, 8\.9 too many; logits takes 46\.4",
            "policy.cluster.logits_chunk_tokens=1024",
        ),
        (
            # 28 · 3,692,953,600 bytes = 96.3 GiB; half the micro-batch is still .1 too much, a quarter costs no time
            ["policy.cluster.checkpoint_activations=false", "training.micro_batch_tokens=16384"],
            r"training needs .*activations takes 96.3",
            "training.micro_batch_tokens=4096",
        ),
        (
            # 0.1 · 79.2 GiB, less 14.2 / 2 of weights and 2 of workspace
            ["policy.cluster.memory_fraction=0.1"],
            r"vLLM's 7.9 GiB \(policy.cluster.memory_fraction=0.1\) hold weights of 7.1 and a KV cache of 0 tokens, and a "
            r"sequence may have 2,560",
            "policy.cluster.memory_fraction=0.15",
        ),
        (
            # 0.9 · 79.2 GiB, and 4.5 of the trainer: less than a whole GPU, more than 0.93 of it
            ["policy.cluster.memory_fraction=0.9"],
            r"generation needs 75\.8 GiB .*, 2\.2 too many; KV cache takes 62\.2",
            "policy.cluster.memory_fraction=",
        ),
        (
            # 12 · 7,615,616,512 bytes / 2 of the optimizer; offloading costs time, and nothing cheaper suffices
            ["policy.cluster.gpus_per_node=2", "policy.cluster.gpu.memory_gib=60"],
            r"training needs .*optimizer takes 42.6",
            "policy.cluster.offload=optimizer",
        ),
    ],
)
def test_a_misfit_and_its_remedy(overrides: list[str], message: str, remedy: str) -> None:
    """The remedy is one setting where one suffices, and with it everything fits."""
    plan = planned(MIDDLE, *overrides)
    assert any(re.search(message, misfit) for misfit in plan.misfits), plan.misfits
    assert plan.remedy.startswith(f"set {remedy}")
    assert planned(MIDDLE, *overrides, *_settings(plan.remedy)).misfits == ()


def _settings(remedy: str) -> list[str]:
    return re.findall(r"[\w.]+=[\w.]+", remedy)


def test_a_small_excess_does_not_offload() -> None:
    """Of what suffices, what costs the least time: at .5 GiB too many a smaller micro-batch, not an optimizer in host memory."""
    plan = planned(MIDDLE)
    tight = with_memory(plan, (plan.phases[1].total / GIB - 0.5) / 0.93)
    assert tight.remedy == "set training.micro_batch_tokens=8192"
    assert advice.remedy(tight) == {"training.micro_batch_tokens": 8192}


def test_where_one_setting_does_not_suffice_several_do() -> None:
    """7B on one GPU of 30 GiB: weights 14.2 and reference 14.2, which only stage 3 takes off it, and the optimizer's states."""
    plan = planned(MIDDLE, *ONE_GPU, "policy.cluster.gpu.memory_gib=30", "policy.cluster.host_memory_gib=400")
    change = advice.remedy(plan)
    assert change is not None
    assert {"policy.cluster.offload", "policy.cluster.offload_reference"} <= change.keys()
    assert plan.changed(change).misfits == ()
    assert all(plan.changed({key: value}).misfits for key, value in change.items()), "none alone"


def test_nothing_suffices() -> None:
    plan = planned(MIDDLE, *ONE_GPU, "policy.cluster.gpu.memory_gib=12")
    assert advice.remedy(plan) is None
    assert plan.remedy.startswith("no setting suffices")
    host = planned(MIDDLE, "policy.cluster.host_memory_gib=64")  # 16 · 7,615,616,512 bytes asleep
    assert re.search(r"a node's host memory needs 113.5 GiB .*, 49.5 more than policy.*=64", host.misfits[0])
    assert planned(MIDDLE, "policy.cluster.host_memory_gib=114").misfits == ()


def test_savings_are_reported_with_the_largest_first() -> None:
    plan = planned(MIDDLE, *ONE_GPU)
    found = advice.savings(plan)
    assert [saved for _, saved, _ in found] == sorted((saved for _, saved, _ in found), reverse=True)
    assert found[0][0] == {"policy.cluster.offload": "optimizer"}
    assert found[0][1] == pytest.approx(sum(plan.excess.values()) - sum(plan.changed(found[0][0]).excess.values()))


ONE_GPU = ["cluster@policy.cluster=one_gpu_80gb"]
PRESETS = {
    "24": ("1.5b", "1.7b"),
    "48": ("3b", "4b"),
    "80": ("3b", "1.7b"),
    "141": ("4b", "3b"),
}  # the largest that fit


@pytest.mark.parametrize("memory", PRESETS)
def test_presets_of_one_gpu_fit_what_they_say(memory: str) -> None:
    gpu = f"cluster@policy.cluster=one_gpu_{memory}gb"
    models = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
    largest = max(planned(model).shape.parameters for model in models if model.endswith(PRESETS[memory]))
    for model in models:
        plan = planned(model, "scale=single", "policy=openrlhf", gpu)
        if plan.shape.parameters <= largest:
            assert plan.misfits == (), model
    offloaded = planned(MIDDLE, "scale=single", "policy=openrlhf", gpu, "policy.cluster.offload=optimizer")
    assert (offloaded.misfits == ()) is (memory in ("80", "141"))


def test_an_adapter_is_planned() -> None:
    """Rank 16 beside the seven projections of 28 layers of 7B: 16 · 28 · (2·2·3584 + 2·(3584 + 512) + 3·(3584 + 18944)) = 40,370,176
    parameters. The model is there once: 2 P and 2 of each of these; and nothing is sent for its own gradients."""
    settings = ["scale=single", "policy=openrlhf", "cluster@policy.cluster=one_gpu_80gb", "training.adapter=lora"]
    plan, whole = planned(MIDDLE, *settings), planned(MIDDLE, *settings[:-1])
    count = 40_370_176
    _, begin, exchange, step = plan.phases
    assert begin.parts["weights"] == 2 * plan.shape.parameters + 2 * count
    assert (begin.parts["reference"], begin.parts["optimizer"], begin.parts["gradients"]) == (0, 12 * count, 2 * count)
    assert begin.parts["logits"] == 1024 * 152_064 * 10
    assert (exchange.parts["activations"], exchange.parts["exchanged"]) == (0, 2 * count)
    assert step.parts["flat gradients"] == 8 * count
    assert plan.misfits == ()
    assert whole.misfits != ()
    assert plan.speed.seconds["update"] == pytest.approx(whole.speed.seconds["update"] * 3 / 4)
    assert any("LoRA of rank 16" in text for _, text in plan.rows(1))


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


def with_memory(plan: Plan, gib: float) -> Plan:
    gpu = plan.policy.cluster.gpu.model_copy(update={"memory_gib": gib})
    cluster = plan.policy.cluster.model_copy(update={"gpu": gpu})
    policy = plan.policy.model_copy(update={"cluster": cluster})
    experiment = plan.experiment.model_copy(update={"policy": policy})
    return dataclasses.replace(plan, experiment=experiment, policy=policy)


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
