"""Work and time by hand: the paper's ALFWorld with 7B on 8 A100 (312 tflops, 2,039 GB/s), and others where said."""

from __future__ import annotations

import pytest

from flows.configure.compose import compose
from pipelines.errors import ConfigError
from pipelines.policies.openrlhf.planning.speed import decode_step_s, training_flops
from tests.planning.cells import LARGE, MIDDLE, planned

PLAN = planned(MIDDLE)
PER_S = 8 * 312e12 * 0.4
FORWARD = 14_386_233_344  # of one token in 1,224: see test_shapes.py


def test_work_of_steps_as_rows() -> None:
    """16 · 8 episodes of 50 steps; half of a prompt of 2,048, and 200 sampled."""
    work = PLAN.work
    assert (work.episodes, work.sequences, work.longest) == (128, 6_400, 2_048 + 512)
    assert (work.length, work.generated, work.tokens) == (1_024 + 200, 200, 6_400 * 1_224)
    assert (work.played, work.most_tokens) == (128, 6_400 * 2_560)


def test_work_of_whole_transcripts() -> None:
    """64 · 16 episodes, a row each; half of 28,672 tokens, 15 answers of 200 among them."""
    work = planned(LARGE, "benchmark=deepsearch").work
    assert (work.episodes, work.sequences, work.longest) == (1_024, 1_024, 28_672 + 2_048)
    assert (work.length, work.generated) == (14_336, 3_000)


def test_dynamic_sampling_plays_more() -> None:
    """Half of the groups are kept: 16, 8, 4, 2 and 1 of 8 episodes, one batch after the other, a smaller one hardly faster."""
    plan = planned(MIDDLE, "algorithm=dapo")
    assert plan.work.batches == (128, 64, 32, 16, 8)
    assert (plan.work.played, plan.work.episodes, plan.work.sequences) == (248, 128, 6_400)
    # 4 engines of 32, 16, 8, 4 and 2 rows: 151 + 147 + 145 + 143 + 143 s of decoding, 94 + 47 + 24 + 12 + 6 s of prefill.
    assert plan.speed.seconds["rollout"] == pytest.approx(912, abs=1)
    assert plan.speed.evaluation == PLAN.speed.evaluation
    two = planned(MIDDLE, "algorithm=dapo", "algorithm.max_generation_batches=2").work
    assert two.batches == (128, 64)


def test_an_action_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_action_tokens=40000 leaves no room for a prompt in the 32768 tokens"):
        _ = planned(MIDDLE, "rollout.max_context_tokens=null", "rollout.max_action_tokens=40000").work


def test_answers_are_no_longer_than_allowed() -> None:
    assert planned(MIDDLE, "rollout.max_action_tokens=64").work.generated == 64


@pytest.mark.parametrize(("iterations", "every"), [(0, 5), (1, 5), (5, 5), (6, 5), (150, 5), (7, 3), (4, 9)])
def test_evaluations_are_counted_as_the_loop_makes_them(iterations: int, every: int) -> None:
    made = sum(i % every == 0 for i in range(iterations)) + 1  # before the i-th, and after the last
    work = planned(MIDDLE, f"training.iterations={iterations}", f"evaluation.every={every}").work
    assert work.evaluations == made


def test_a_decoding_step() -> None:
    """Two GPUs read their half of the weights, P bytes, and 32 caches of 1,224 · 28,672 bytes, at 0.6 · 2,039 GB/s:
    longer than the products of 32 tokens, 32 · 14,386,233,344 / (2 · 312e12 · 0.4) = 1.8 ms. 8 ms are added."""
    read = 7_615_616_512 + 1_123_024_896
    assert decode_step_s(PLAN.shape, PLAN.policy, 32, 1224, PLAN.assumed) == pytest.approx(0.008 + read / 1.2234e12)
    products = 4096 * PLAN.shape.forward_flops(16) / (2 * 312e12 * 0.4)
    assert decode_step_s(PLAN.shape, PLAN.policy, 4096, 16, PLAN.assumed) == pytest.approx(0.008 + products)


def test_time_of_an_iteration() -> None:
    """4 engines decode 32 rows each in 15.143 ms: 8,452.8 tokens/s. Prefill: 6,400 · 1,024 tokens, a forward pass each.
    Scoring and the reference: a pass over 6,400 · 1,224 tokens each; the update four."""
    speed = PLAN.speed
    assert speed.rows == 32
    assert speed.decoded_per_s == pytest.approx(8_452.8, abs=0.1)
    tokens = 6_400 * 1_224
    assert speed.seconds["rollout"] == pytest.approx(6_400 * 1_024 * FORWARD / PER_S + 1_280_000 / 8_452.798, rel=1e-6)
    assert speed.seconds["score"] == speed.seconds["reference"] == pytest.approx(tokens * FORWARD / PER_S)
    assert speed.seconds["update"] == pytest.approx(4 * tokens * FORWARD / PER_S)
    assert speed.trained_per_s == pytest.approx(PER_S / (4 * FORWARD))
    assert PLAN.seconds == pytest.approx(150 * sum(speed.seconds.values()) + 31 * speed.evaluation)


P = 7_615_616_512
PCIE = 20e9


def test_an_offloaded_optimizer_takes_its_time() -> None:
    """25 mini-batches of 313,344 tokens, 39,168 a rank: 3 micro-batches of 16,384. Each sends 4 P / 8 of gradients, which are added
    up in float32; each of 25 steps brings back 2 P / 8 of weights, and reads and writes 28 P on the host."""
    seconds = planned(MIDDLE, "policy.cluster.offload=optimizer").speed.seconds
    moved = (75 * 4 * P / 8 + 25 * 2 * P / 8) / PCIE + 25 * 28 * P / 100e9
    assert moved == pytest.approx(70.0, abs=0.1)
    assert seconds["update"] == pytest.approx(PLAN.speed.seconds["update"] + moved)
    assert {**seconds, "update": 0} == {**PLAN.speed.seconds, "update": 0}


def test_two_nodes_step_on_two_hosts() -> None:
    """Half of the ranks each: 2 micro-batches of a rank's 19,584 tokens, 4 P / 16 there and 2 P / 16 back, 14 P on either host."""
    there = planned(MIDDLE, "policy.cluster.nodes=2", "policy.cluster.offload=optimizer").speed
    assert there.offload == pytest.approx((50 * 4 + 25 * 2) * P / 16 / PCIE + 25 * 14 * P / 100e9)


def test_offloaded_weights_are_read_in_every_pass() -> None:
    """Scoring: 979,200 tokens a rank, 60 micro-batches, 2 P / 8 each. Update: twice that and the gradients in each of 75, and
    no weights to bring back."""
    speed = planned(MIDDLE, "policy.cluster.offload=parameters").speed
    assert speed.seconds["score"] == pytest.approx(PLAN.speed.seconds["score"] + 60 * 2 * P / 8 / PCIE)
    update = 75 * (2 * 2 + 4) * P / 8 / PCIE + 25 * 28 * P / 100e9
    assert speed.seconds["update"] == pytest.approx(PLAN.speed.seconds["update"] + update)
    assert speed.seconds["reference"] == PLAN.speed.seconds["reference"]
    assert speed.trained_per_s == pytest.approx(6_400 * 1_224 / speed.seconds["update"])


def test_an_offloaded_reference_is_read_in_its_pass() -> None:
    speed = planned(MIDDLE, "policy.cluster.offload_reference=true").speed
    assert speed.seconds["reference"] == pytest.approx(PLAN.speed.seconds["reference"] + 60 * 2 * P / 8 / PCIE)
    assert speed.offload == pytest.approx(60 * 2 * P / 8 / PCIE)
    assert PLAN.speed.offload == 0


def test_kept_activations_spare_a_pass() -> None:
    assert training_flops(PLAN.shape, 1224, checkpointed=False) == 3 * FORWARD


def test_without_a_kl_loss_nothing_asks_the_reference() -> None:
    free = planned(MIDDLE, "training.kl_coefficient=0")
    assert free.speed.seconds["reference"] == 0
    assert not free.micro.reference


def test_a_full_cache_bounds_the_rows() -> None:
    """An engine plays no more episodes at once than its cache holds, of transcripts of 14,336 tokens."""
    tight = planned(MIDDLE, "benchmark=deepsearch", "policy.cluster.memory_fraction=0.16")
    assert tight.speed.rows == tight.cache_tokens // 14_336 < 1024 // 4


def test_twice_the_gpus_train_in_half_the_time() -> None:
    double = planned(MIDDLE, "policy.cluster.nodes=2")
    assert double.speed.seconds["update"] == pytest.approx(PLAN.speed.seconds["update"] / 2)


def test_a_stand_in_has_a_plan_too() -> None:
    experiment = compose(["policy=openrlhf"]).experiment
    made = experiment.policy.plan(experiment)
    assert made is not None
    assert made.misfits == ()
    training, exchange, step = made.phases  # nothing sleeps without a GPU
    assert {"optimizer", "activations", "vLLM weights", "KV cache"} <= set(training.parts)
    assert {"optimizer", "exchanged", "vLLM weights", "KV cache"} <= set(exchange.parts)
    assert {"optimizer", "vLLM weights", "KV cache"} <= set(step.parts)
    alone = compose([]).experiment
    assert alone.policy.plan(alone) is None
