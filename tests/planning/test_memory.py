"""Memory by hand: 7B (P = 7,615,616,512) on 8 GPUs unless said otherwise; and against what torch keeps."""

from __future__ import annotations

import pytest

from pipelines.config import LoraSettings
from pipelines.planning.memory import GIB, layer_activations
from pipelines.planning.shapes import ModelShape
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.planning import gradients, memory
from pipelines.policies.openrlhf.planning.assumptions import ASSUMED
from pipelines.policies.openrlhf.planning.memory import Micro
from tests.planning.cells import LARGE, MIDDLE, micro, planned, policy

P = 7_615_616_512
SHAPE = planned(MIDDLE).shape


@pytest.mark.parametrize(
    ("stage", "weights", "gradients", "optimizer"),
    [
        (2, 15_231_233_024, 1_903_904_128, 11_423_424_768),  # 2 P, 2 P / 8, 12 P / 8
        (3, 1_903_904_128, 3_807_808_256, 11_423_424_768),  # 4 P / 8 of gradients: DeepSpeed adds them up in float32
    ],
)
def test_states_of_each_stage(stage: int, weights: int, gradients: int, optimizer: int) -> None:
    spread = policy(zero_stage=stage, placement="separate", generation_gpus=8, nodes=2)  # 8 ranks are left
    states = memory.trainer_states(SHAPE, spread)
    assert states == {"weights": weights, "gradients": gradients, "optimizer": optimizer}


def test_float32_has_a_second_copy_of_the_weights_at_stage_2() -> None:
    """DeepSpeed clones what it steps on, whatever its dtype; at stage 3 only of another dtype."""
    one = {"dtype": "float32"}
    states = memory.trainer_states(SHAPE, policy(packing=False).model_copy(update=one))
    assert states == {"weights": P / 2, "gradients": P / 2, "optimizer": P}  # 4 P / 8, 4 P / 8, 8 P / 8
    states = memory.trainer_states(SHAPE, policy(packing=False, zero_stage=2).model_copy(update=one))
    assert states == {"weights": 4 * P, "gradients": P / 2, "optimizer": 12 * P / 8}


SMALL = ModelShape(64, 128, 2, 4, 2, 32, 320, 512, tied=True)
TWIN = {"device": "cpu", "packing": False, "gpus_per_node": 1, "zero_stage": 2, "tensor_parallel": 1}


def float32(**cluster: object) -> OpenrlhfPolicyConfig:
    return policy(**TWIN | cluster).model_copy(update={"dtype": "float32"})


def test_bytes_per_parameter_of_a_rank_without_a_gpu() -> None:
    """float32, ZeRO-2, one rank; weights 4, their clone that is stepped on 4, two moments 8: 16. At the end of the backward pass
    the gradients of the micro-batches before, 4, the bucket with this one's, 4, and what is kept of it, 4: 28. When AdamW steps,
    the gradients' flat copy, 4, and two values in between, 8: 28. Under an adapter the model is 4, and the rest the adapter's."""
    for lora in (None, LoraSettings(rank=2)):
        model, one = SMALL.parameters, gradients.trained(SMALL, lora)
        phases = memory.training_phases(SMALL, float32(logits_chunk_tokens=1), micro(1, adapter=lora), ASSUMED)
        parts = [p.parts | {"processes": 0, "reference": 0, "gathered layers": 0} for p in phases]
        assert [sum(part.values()) for part in parts[1:]] == [28 * one + 4 * model * bool(lora)] * 2
        assert phases[0].parts["gradient bucket"] == 0  # nothing is in it yet


def test_what_gradients_take_on_gpus() -> None:
    """Two buckets of 500,000,000 values of bfloat16, at stage 3 one. A copy of one is exchanged; kept of it are 2 P / 8, at stage 3
    4 / 8 of the bucket's values. Stage 2 steps by 8 P / 8: gradients, flat copy, float32. Stage 3 by 4 of P / 8 values, or of a
    thousand million, of fewer ranks. With the optimizer in host memory stage 2 has a buffer of the largest matrix, and steps there."""
    begin, exchange, step = memory.training_phases(SHAPE, policy(zero_stage=2), micro(), ASSUMED)
    assert begin.parts["gradient bucket"] == exchange.parts["gradient bucket"] == 2e9
    assert exchange.parts["exchanged"] == 2 * P / 8 + 1e9
    assert exchange.parts["activations"] == pytest.approx(begin.parts["activations"] * (1 - 5e8 / P))
    assert (step.parts["gradients"], step.parts["flat gradients"]) == (0, P)
    assert {"activations", "logits", "gradient bucket"} & step.parts.keys() == set()
    begin, exchange, step = memory.training_phases(SHAPE, policy(), micro(), ASSUMED)
    assert begin.parts["gradient bucket"] == 1e9
    assert exchange.parts["exchanged"] == 1e9 + 2.5e8
    assert (step.parts["gradients"], step.parts["flat gradients"]) == (P / 2, P / 2)
    assert gradients.stepping(SHAPE, policy(gpus_per_node=2)) == 4e9
    away = policy(zero_stage=2, offload="optimizer")
    assert gradients.stepping(SHAPE, away) == 0
    assert gradients.exchanged(SHAPE, away) == 2 * 544_997_376 + 1e9
    assert gradients.exchanged(SHAPE, policy(zero_stage=2, gpus_per_node=1, tensor_parallel=1)) == 2 * P


def test_a_reference_is_of_the_trainers_own_process() -> None:
    with_it, without = (
        memory.training_phases(SHAPE, policy(), Micro(1024, reference=wanted, entropy=True), ASSUMED)[0]
        for wanted in (True, False)
    )
    assert with_it.parts["processes"] == without.parts["processes"] == GIB
    assert with_it.total - without.total == 2 * P / 8


def test_whole_logits_stay_until_the_step_is_over() -> None:
    _, exchange, step = memory.training_phases(SHAPE, policy(logits_chunk_tokens=None), micro(100), ASSUMED)
    assert exchange.parts["logits"] == step.parts["logits"] == 4 * 100 * 152_064


def test_gathered_layers() -> None:
    """The layer at work and, larger than a second one, the output matrix: 2 · (233,057,792 + 544,997,376)."""
    assert memory.gathered(SHAPE, policy()) == 1_556_110_336
    assert memory.gathered(SHAPE, policy(zero_stage=2)) == 0


def test_activations() -> None:
    """A token in a layer: 2 · (4·3584 + 2·3584 + 2·512 + 4·18944) + 4 · (2·3584 + 2 + 28) = 225,400 bytes. Checkpointed:
    that once, and 28 layers' inputs of 3584 values."""
    assert layer_activations(SHAPE, 2) == 196_608 + 28_792 == 225_400
    assert memory.activations(SHAPE, policy(), 16_384) == 3_692_953_600 + 3_288_334_336
    assert memory.activations(SHAPE, policy(checkpoint_activations=False), 16_384) == 28 * 3_692_953_600


@pytest.mark.parametrize(
    ("chunk", "entropy", "expected"),
    [
        (None, True, 34_879_832_064),  # 16,384 · 152,064 · 14
        (None, False, 24_914_165_760),  # 16,384 · 152,064 · 10
        (1024, True, 2_647_130_112),  # 1,024 · 152,064 · 10 + 2 · 544,997,376
    ],
)
def test_logits(chunk: int | None, entropy: bool, expected: int) -> None:
    assert memory.logits(SHAPE, policy(logits_chunk_tokens=chunk), micro(entropy=entropy)) == expected


def test_a_chunk_is_no_larger_than_the_micro_batch() -> None:
    small = memory.logits(SHAPE, policy(logits_chunk_tokens=1024), micro(16))
    assert small == 16 * 152_064 * 10 + 2 * 544_997_376


def test_what_vllm_leaves_for_its_cache() -> None:
    """0.6 of 79.2 GiB, less weights on two GPUs and 2 GiB; 28,672 bytes a token."""
    phase = memory.generation_phase(SHAPE, policy(), micro(), ASSUMED)
    assert phase.parts["vLLM weights"] == P
    assert phase.parts["KV cache"] == pytest.approx(47.52 * GIB - P - 2 * GIB)
    assert memory.cache_tokens(SHAPE, policy(), phase) == 1_439_073
    assert phase.parts["weights"] == phase.parts["reference"] == 2 * P / 8


def test_no_room_is_no_tokens() -> None:
    tight = policy(memory_fraction=0.05)
    assert memory.cache_tokens(SHAPE, tight, memory.generation_phase(SHAPE, tight, micro(), ASSUMED)) == 0


def test_generation_of_its_own_gpus_has_nothing_beside_it() -> None:
    phase = memory.generation_phase(SHAPE, policy(placement="separate", generation_gpus=4), micro(), ASSUMED)
    assert set(phase.parts) == {"vLLM weights", "vLLM workspace", "KV cache"}
    assert phase.total == pytest.approx(47.52 * GIB)


def test_the_host_holds_what_is_offloaded_or_sleeps() -> None:
    """Asleep: the trainer's gradients and optimizer, 16 P / 8 a GPU, more than vLLM's weights of P; on 8 GPUs of a node
    16 P; on two nodes as much as vLLM's weights, 8 P of each. Stage 2 gives gradients back, so that none sleeps. Offloaded:
    gradients as they are added up, 4 P, and as they are stepped by, 4 P, and 12 P; and then vLLM's weights sleep there too.
    Stage 2 adds gradients up in bfloat16, 2 P, and holds the weights that go back, 2 P, and of each rank a buffer of the largest
    matrix."""
    assert host() == {"asleep": 16 * P}
    assert host(zero_stage=2) == {"asleep": 12 * P}
    assert host(nodes=2) == {"asleep": 8 * P}
    assert host(offload="optimizer") == {"gradients": 8 * P, "optimizer": 12 * P, "asleep": 8 * P}
    two = {"gradients": 6 * P, "optimizer": 12 * P, "transfer": 2 * P + 8 * 2 * 544_997_376, "asleep": 8 * P}
    assert host(offload="optimizer", zero_stage=2) == two
    everything = {"weights": 2 * P, "gradients": 8 * P, "optimizer": 12 * P, "reference": 2 * P, "asleep": 8 * P}
    assert host(offload="parameters", offload_reference=True) == everything
    assert host(placement="separate", generation_gpus=4) == {}


def test_a_node_holds_what_its_own_processes_offload() -> None:
    """12 P, 8 P and the reference's 2 P over 4 ranks, all of one node: not once for each of its 8 GPUs."""
    apart = host(placement="separate", generation_gpus=4, offload="optimizer", offload_reference=True)
    assert apart == {"gradients": 8 * P, "optimizer": 12 * P, "reference": 2 * P}
    # Over 12 ranks of two nodes, at most 8 of them on one.
    two = host(placement="separate", generation_gpus=4, nodes=2, offload_reference=True)
    assert two == {"reference": pytest.approx(2 * P * 8 / 12)}


def host(**cluster: object) -> dict[str, float]:
    return memory.host_parts(SHAPE, policy(**cluster), micro())


# --------------------------------------------------------------------------------------------------------- properties


def total(tokens: int = 16384, **cluster: object) -> float:
    return memory.training_phases(SHAPE, policy(**cluster), micro(tokens), ASSUMED)[0].total


def test_a_higher_stage_never_needs_more() -> None:
    sizes = [total(zero_stage=stage) for stage in (2, 3)]
    assert sizes == sorted(sizes, reverse=True)


def test_offloading_never_needs_more() -> None:
    sizes = [total(offload=what) for what in ("none", "optimizer", "parameters")]
    assert sizes == sorted(sizes, reverse=True)
    assert total(offload_reference=True) < total()


@pytest.mark.parametrize("stage", [2, 3])
def test_more_gpus_need_no_more_each(stage: int) -> None:
    sizes = [total(zero_stage=stage, nodes=nodes) for nodes in (1, 2, 4)]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("chunk", [None, 512])
def test_larger_micro_batches_need_more(chunk: int | None) -> None:
    sizes = [total(tokens, logits_chunk_tokens=chunk) for tokens in (4096, 8192, 16384)]
    assert sizes == sorted(set(sizes))


def test_every_part_is_there_once() -> None:
    for phase in memory.training_phases(planned(LARGE).shape, planned(LARGE).policy, micro(), ASSUMED):
        assert phase.total == sum(phase.parts.values())
        assert min(phase.parts.values()) > 0


# ------------------------------------------------------------------------------------------- what torch really keeps


@pytest.mark.parametrize("head_norms", [False, True])
@pytest.mark.parametrize(("name", "width"), [("bfloat16", 2), ("float32", 4)])
def test_a_layer_keeps_what_torch_keeps(name: str, width: int, head_norms: bool) -> None:
    """A genuine Qwen2's or Qwen3's saved tensors, counted: four layers less two are two layers."""
    shape = ModelShape(64, 128, 2, 4, 2, 32, 320, 512, tied=True, biased=not head_norms, head_norms=head_norms)
    tokens = 64
    two = (_kept(shape, 4, name, tokens) - _kept(shape, 2, name, tokens)) / tokens
    assert two == 2 * layer_activations(shape, width)


def _kept(shape: ModelShape, layers: int, dtype: str, tokens: int) -> int:
    """Bytes of all storages that the forward pass saves for the backward pass, the weights' own left out."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

    make, of = (Qwen3ForCausalLM, Qwen3Config) if shape.head_norms else (Qwen2ForCausalLM, Qwen2Config)
    config = of(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.mlp, num_hidden_layers=layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim, use_cache=False,
        attn_implementation="sdpa",
    )  # fmt: skip
    model = make(config).to(getattr(torch, dtype))
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = model.model(torch.zeros(1, tokens, dtype=torch.long)).last_hidden_state
    assert result.shape == (1, tokens, shape.hidden)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
