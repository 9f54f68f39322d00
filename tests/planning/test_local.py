"""Plans of policy=local: one model, sampled and trained in one process on a CPU or one GPU. By hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.__main__ import main
from flows.configure.compose import compose
from pipelines.errors import ConfigError
from pipelines.planning import advice
from pipelines.planning.memory import GIB, layer_activations
from pipelines.planning.shapes import ModelShape
from pipelines.policies.local.planning import plan as planning
from pipelines.policies.local.planning.memory import activations
from pipelines.policies.local.planning.plan import LocalPlan

P = 494_032_768  # of Qwen2.5-0.5B: 151,936 · 896 and 24 layers, 14 heads of 64, 2 KV heads, MLP 4,864
A10 = "+cluster/gpu@policy.gpu=a10_24gb"


def planned(*overrides: str, model: str = "qwen2.5_0.5b") -> LocalPlan:
    experiment = compose(["scale=single", f"model={model}", *overrides]).experiment
    made = experiment.policy.plan(experiment)
    assert isinstance(made, LocalPlan)
    return made


def test_memory_by_hand() -> None:
    """64 episodes, each with room for the longest, a prompt of 2,048 tokens and an action of 256; keys and values of a token take
    2 · 24 · 2 · 64 · 4 bytes, half as many again while the cache grows. A batch of imitation has 4,095 tokens and then the longest
    sequence. A token in a layer keeps 4 · (4·896 + 2·896 + 2·128 + 4·4864) + 4 · (2·896 + 2 + 14) bytes, of 4,096, and every
    layer's input of 896 values. Logits: two chunks of 82 tokens, and two gradients."""
    warm_start, generation, training = planned(A10).phases
    held = {"weights": 4 * P, "gradients": 4 * P, "optimizer": 8 * P, "reference": 4 * P, "process": GIB}
    assert generation.parts == held | {
        "KV cache": 1.5 * 64 * 2304 * 24_576,
        "sampling": 28 * 64 * 151_936,
    }
    layer = 107_584
    assert training.parts == held | {
        "activations": pytest.approx(1.25 * 4096 * layer + 4 * 4096 * 896 * 24),
        "logits": 8 * 82 * 151_936 + 8 * 151_936 * 896,
        "temporary": 4 * P,
    }
    assert warm_start.parts == training.parts | {
        "reference": 0,
        "activations": pytest.approx((4095 + 2304) * (1.25 * layer + 4 * 896 * 24)),
    }


def test_bfloat16_holds_a_rounded_copy_and_a_smaller_reference() -> None:
    _, generation, _ = planned(A10, "policy.dtype=bfloat16").phases
    assert generation.parts["weights"] == 6 * P
    assert generation.parts["reference"] == 2 * P
    assert generation.parts["KV cache"] == 1.5 * 64 * 2304 * 12_288


def test_what_is_not_done_needs_no_memory() -> None:
    """Without a KL loss there is no reference; an evaluation alone trains nothing."""
    *_, generation, _ = planned("training.kl_coefficient=0").phases
    assert generation.parts["reference"] == 0
    _, alone = planned("training.iterations=0", "warm_start=null").phases
    assert alone.parts["gradients"] == alone.parts["optimizer"] == alone.parts["reference"] == 0


@pytest.mark.parametrize(
    ("model", "dtype", "micro", "peak"),
    [
        ("smollm2_135m", "float32", 1024, 4.22),
        ("smollm2_135m", "bfloat16", 1024, 4.27),
        ("qwen2.5_0.5b", "float32", 512, 10.65),
    ],
)
def test_the_estimate_is_near_what_was_measured(model: str, dtype: str, micro: int, peak: float) -> None:
    """GiB of a process (ru_maxrss) at its second update, with random weights of the model's shape, on a CPU."""
    bounds = ["rollout.max_context_tokens=384", "rollout.max_action_tokens=128", f"training.micro_batch_tokens={micro}"]
    plan = planned("policy.device=cpu", f"policy.dtype={dtype}", *bounds, model=model)
    (training,) = (phase for phase in plan.phases if phase.name == "training")
    assert training.total / GIB == pytest.approx(peak, rel=0.11)


def test_the_comparison_with_transformers_is_on_the_host_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the policy is: the weights, and four times the logits of 320 tokens. Measured: 4.15 GiB, .94 of them a file's pages."""
    on_cpu = planned("policy.device=cpu", "policy.dtype=bfloat16", "training.adapter=lora")
    check = on_cpu.phases[0]
    assert check.name == "check"
    assert check.parts == {"weights": 4 * P, "process": pytest.approx(0.7 * GIB), "logits": 16 * 320 * 151_936}
    assert check.total / GIB == pytest.approx(4.15 - 0.94, rel=0.05)
    assert planned("policy.device=cpu", "policy.engine=transformers").phases[0].name == "warm start"
    monkeypatch.setattr(planning, "this_gpu", lambda: planned(A10).gpu)
    monkeypatch.setattr(planning, "host_memory_gib", lambda: 3.0)
    small = planned("policy.dtype=bfloat16", "training.adapter=lora", "warm_start.dtype=bfloat16", "training.tasks=1")
    assert small.misfits == ("check needs 3.3 GiB of the host's 3.0 less 7% of headroom, 0.5 too many",)
    assert "set policy.engine=transformers" in small.remedy
    assert planned(A10, "policy.dtype=bfloat16", "training.adapter=lora").misfits == ()


def test_an_evaluation_holds_one_block_of_samples_at_once() -> None:
    """32 samples of 64 tasks: 1, 1, 2, 4, then 8 at a time, 512 episodes, of which each holds a cache; never 2,048."""
    plan = planned("evaluation.games=64", "evaluation.samples=32", "training.iterations=0", "warm_start=null")
    assert plan.work.evaluation_blocks == (64, 64, 128, 256, 512, 512, 512)
    _, alone = plan.phases
    assert alone.parts["KV cache"] == 1.5 * 512 * 2304 * 24_576


def test_an_evaluation_that_is_too_large_is_played_by_fewer_at_once() -> None:
    """512 episodes of 2,304 tokens have a cache of 1.5 · 512 · 2304 · 12,288 bytes, 20.3 GiB of a GPU's 22.4: half as many until it
    fits, and no task fewer. More steps are decoded then, each of fewer rows."""
    asked = [
        A10,
        "evaluation.games=64",
        "evaluation.samples=32",
        "training.iterations=0",
        "warm_start=null",
        "policy.dtype=bfloat16",
    ]
    large, bounded = planned(*asked), planned(*asked, "policy.max_episodes=32")
    assert large.size.rows == 512
    assert large.remedy.startswith("set policy.max_episodes=256")
    assert bounded.phases[0].parts["KV cache"] == large.phases[0].parts["KV cache"] / 16
    assert bounded.misfits == ()
    assert bounded.speed.evaluation > large.speed.evaluation


def test_transformers_engine_by_hand() -> None:
    """All 64 contexts are run at once, as long as the longest allowed, 2,048 + 256 tokens: a layer's MLP holds three times 4,864
    float32 values a token, beside its input and what it is added to. The cache is as long. What is frozen is float32."""
    _, generation, _ = planned(A10, "policy.engine=transformers", "policy.dtype=bfloat16").phases
    assert generation.parts["weights"] == 6 * P
    assert generation.parts["reference"] == 4 * P
    assert generation.parts["KV cache"] == 64 * 2304 * 24_576
    assert generation.parts["prefill"] == 4 * 64 * 2304 * (3 * 4864 + 2 * 896)
    lora = planned(A10, "policy.engine=transformers", "policy.dtype=bfloat16", "training.adapter=lora")
    assert lora.phases[1].parts["weights"] == 4 * P + 4 * 8_798_208
    assert lora.limit == pytest.approx(22.4 * 0.75)
    assert "nothing was measured" in lora.assumptions


def test_transformers_engine_reads_a_transcript_anew_at_every_turn() -> None:
    """Of 15 steps, half of the whole transcript as the mean: 7.5 times what is read where keys and values stay."""
    searching = ["benchmark=deepsearch", "policy.device=cpu", "benchmark.max_steps=15"]
    ours, theirs = (planned(*searching, f"policy.engine={engine}") for engine in ("auto", "transformers"))
    work = ours.work
    token = (ours.speed.trained_per_s * 4) ** -1  # seconds of a forward pass: an update with checkpoints takes four
    more = 6.5 * work.sequences * (work.length - work.generated) * token
    assert theirs.speed.seconds["rollout"] - ours.speed.seconds["rollout"] == pytest.approx(more)


def test_an_adapter_stands_in_the_models_place() -> None:
    """Rank 16 beside the seven projections of 24 layers: 16 · 24 · (2·2·896 + 2·(896 + 128) + 3·(896 + 4864)) =
    8,798,208 parameters. The model
    is frozen, in bfloat16 alone, and the reference too."""
    lora = planned(A10, "training.adapter=lora", "policy.dtype=bfloat16")
    count = 8_798_208
    _, generation, training = lora.phases
    states = {"weights": 2 * P + 4 * count, "gradients": 4 * count, "optimizer": 8 * count, "reference": 0}
    assert states.items() <= generation.parts.items()
    assert training.parts["temporary"] == 4 * count
    assert training.parts["logits"] == 8 * 82 * 151_936
    whole = planned(A10, "policy.dtype=bfloat16")
    assert lora.speed.seconds["update"] == pytest.approx(whole.speed.seconds["update"] * 3 / 4)


def test_where_nothing_exact_suffices_an_adapter_is_named() -> None:
    large = planned(A10, model="qwen2.5_3b")
    assert advice.remedy(large) is None
    assert large.remedy.startswith("set training.adapter=lora")
    values = [word for word in large.remedy.split(",")[0].split() if "=" in word]
    assert planned(A10, *values, model="qwen2.5_3b").misfits == ()


def test_checkpoints_spare_memory_and_cost_a_pass() -> None:
    kept = planned(A10, "policy.checkpoint_activations=false")
    layer = layer_activations(kept.shape, 4)
    assert activations(kept.shape, kept.policy, 100) == pytest.approx(1.25 * 100 * layer * 24)
    assert planned(A10).speed.seconds["update"] == pytest.approx(kept.speed.seconds["update"] * 4 / 3)


def test_time_on_a_thread_by_hand() -> None:
    """1,920 sequences of 1,224 tokens, 200 of them sampled, at 100 GFLOP/s. A token passes 24 layers of 14,909,440 weights and
    4 · 896 · 612 products of attention; logits are made of sampled tokens alone. 64 rows are decoded together: the weights and
    the caches at 7 GB/s, and the products."""
    plan = planned("policy.device=cpu")
    output = 2 * 151_936 * 896
    trunk = 24 * (2 * 14_909_440 + 4 * 896 * 612)
    token = trunk + output * 200 / 1224
    work, speed = plan.work, plan.speed
    assert (work.sequences, work.length, work.generated) == (1920, 1224, 200)
    assert speed.seconds["reference"] == pytest.approx(1920 * 1224 * token / 100e9)
    assert speed.seconds["update"] == pytest.approx(4 * 1920 * 1224 * token / 100e9)
    step = (4 * P + 64 * 1224 * 24_576) / 7e9 + 64 * (trunk + output) / 100e9
    assert speed.decoded_per_s == pytest.approx(64 / step)
    assert speed.seconds["rollout"] == pytest.approx(1920 * (1024 * token / 100e9 + 200 * step / 64))
    # 64 episodes of half of 30 steps
    assert speed.warm_start == pytest.approx(64 * 15 * 1224 * 4 * token / 100e9)
    kept = planned("policy.device=cpu", "warm_start.checkpoint_activations=false").speed
    assert kept.warm_start == pytest.approx(speed.warm_start * 3 / 4)
    assert plan.seconds == pytest.approx(speed.warm_start + 40 * speed.iteration + 5 * speed.evaluation)
    assert planned("policy.device=cpu", "policy.torch_threads=2").speed.iteration == pytest.approx(speed.iteration / 2)


def test_a_gpu_has_its_own_rates() -> None:
    """An A10: 30 % of 125 tflops in bfloat16, a sixteenth of that in float32."""
    exact, rounded = (planned(A10, f"policy.dtype={dtype}").speed for dtype in ("float32", "bfloat16"))
    assert rounded.trained_per_s == pytest.approx(16 * exact.trained_per_s)
    assert (planned(A10).gpus, planned("policy.device=cpu").gpus) == (1, 0)


def test_what_does_not_fit_is_met_with_what_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept activations of 24 layers are 1.25 · 4096 · 107,584 · 24 bytes = 12.3 GiB: half of the micro-batch, which costs
    nothing, is too large still."""
    plan = planned(A10, "policy.checkpoint_activations=false")  # which the warm start's follows
    assert set(plan.excess) == {"training", "warm start"}
    assert advice.remedy(plan) in (
        {"policy.checkpoint_activations": True, "warm_start.checkpoint_activations": True},
        {"policy.dtype": "bfloat16", "warm_start.dtype": "bfloat16"},
    )
    assert set(
        planned(A10, "policy.checkpoint_activations=false", "warm_start.checkpoint_activations=true").excess
    ) == {"training"}
    assert "set policy." in plan.remedy
    large = planned(A10, model="qwen2.5_7b")
    assert advice.remedy(large) is None
    assert large.remedy.startswith("set training.adapter=lora")
    monkeypatch.setattr(planning, "host_memory_gib", lambda: 4.0)
    with pytest.raises(ConfigError, match=r"does not fit: .*this machine's 4.0"):
        planned("policy.device=cpu").experiment.check_fits()


def test_the_device_is_the_one_here_or_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "this_gpu", lambda: None)
    assert planned().gpu is None
    assert planned(A10).gib == 22.4
    with pytest.raises(ConfigError, match=r"policy.device=cuda.*policy.gpu=h200"):
        planned("policy.device=cuda")
    here = planned(A10).gpu
    monkeypatch.setattr(planning, "this_gpu", lambda: here)
    assert planned().gpu == here
    assert planned("policy.device=cpu").gpu is None


def test_a_stand_in_needs_no_plan() -> None:
    experiment = compose([]).experiment
    assert experiment.policy.plan(experiment) is None


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale=single", "model=smollm2_135m", "policy.device=cpu", "seed=0", "plan=true"]) == 0
    said = capsys.readouterr().out
    assert "  device        CPU, 1 thread, float32, activations checkpointed; 135M parameters\n" in said
    assert "warm start" in said
    assert "100 GFLOP/s" in said
    assert "  fits          with 7% of this machine's memory to spare\n" in said


@pytest.mark.parametrize("head_norms", [False, True])
@pytest.mark.parametrize(("dtype", "width"), [("float32", 4), ("bfloat16", 2)])
def test_our_forward_pass_keeps_little_more_than_transformers(
    tmp_path: Path, dtype: str, width: int, head_norms: bool
) -> None:
    """Saved tensors of four layers less those of two, by token; with checkpoints, only the layer's input."""
    shape = ModelShape(64, 128, 2, 4, 2, 32, 320, 512, tied=True, biased=not head_norms, head_norms=head_norms)
    kept = [_kept(shape, layers, dtype, tmp_path / str(layers), recompute=False) for layers in (2, 4)]
    assert 1.0 <= (kept[1] - kept[0]) / 2 / layer_activations(shape, width) <= 1.25
    kept = [_kept(shape, layers, dtype, tmp_path / str(layers), recompute=True) for layers in (2, 4)]
    assert (kept[1] - kept[0]) / 2 == 4 * shape.hidden


def _kept(shape: ModelShape, layers: int, dtype: str, folder: Path, *, recompute: bool) -> float:
    """Bytes for a token of all storages that the backward pass waits for, the weights' own left out."""
    import torch
    import transformers

    from pipelines.policies.local.parameters import load_model
    from pipelines.policies.local.transformer import forward, packed, packed_positions, weights_of

    family = "Qwen3" if shape.head_norms else "Qwen2"
    config = getattr(transformers, f"{family}Config")(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.mlp, num_hidden_layers=layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim,
        tie_word_embeddings=True,
    )  # fmt: skip
    getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(folder)
    model = load_model(folder, getattr(torch, dtype))
    weights = weights_of(model)
    own = [*model.named.values(), *model.rotations, *model._rounded.values()]
    known = {tensor.untyped_storage().data_ptr() for tensor in own}
    held: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    tokens = 64
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward(
            weights,
            torch.zeros(1, tokens, dtype=torch.long),
            packed_positions([tokens]),
            packed([tokens]),
            recompute=recompute,
        )
    assert result.shape == (tokens, shape.hidden)
    return sum(held.values()) / tokens


def test_the_analysis_examines_another_model_beside_the_policy() -> None:
    """In float32, whatever the policy is; 32 tokens' logits in float64 and what is made of them. On a GPU it is the host's."""
    lora = planned("policy.device=cpu", "policy.dtype=bfloat16", "training.adapter=lora")
    *_, training, analysis = lora.phases
    assert analysis.name == "analysis"
    held = {name: training.parts[name] for name in ("weights", "gradients", "optimizer", "reference", "process")}
    assert analysis.parts == held | {"examined": 4 * P, "logits": 32 * 64 * 151_936}
    assert "analysis" not in {phase.name for phase in planned(A10).phases}
    assert planned("policy.device=cpu", "training.iterations=0", "warm_start=null").phases[-1].name == "generation"
