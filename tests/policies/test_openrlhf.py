"""vLLM and OpenRLHF behind the protocol: the whole kit, agreement with the local policy, and what happens when a process
dies. On CPU; one and two ranks, ZeRO-2 and ZeRO-3."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.config import StandIn
from pipelines.errors import ConfigError, EngineDied, MissingCheckpoint, NonFiniteLoss, PlatformError, WorkerDied
from pipelines.policies.local.policy import local_policy
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.policy import openrlhf_policy
from pipelines.protocols import GenerationRequest, Message, Policy, SamplingSettings
from pipelines.records import TrainingSequence
from tests.policies.conformance import SETTINGS, Begin, LearnerConformance, Make, SamplerConformance
from tests.policies.conftest import peaked
from tests.policies.play import OBSERVATIONS, converse, sequences

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
PLAIN = StandIn(hidden_size=128, layers=2, heads=4, kv_heads=2, mlp=96, context_length=512)
GREEDY = SamplingSettings(temperature=0.0, max_tokens=9)
# Several micro-batches in each mini-batch: their gradients must add up.
UPDATE = SETTINGS.model_copy(update={"minibatch_size": 3, "micro_batch_tokens": 300, "weight_decay": 0.01})
ARMS: dict[str, dict[str, object]] = {
    "grpo": {},
    "dapo": {"clip_high": 0.28, "dual_clip": 3.0},
    "dr_grpo": {"aggregation": "constant-length", "loss_length": 20},
    "sequence-mean": {"aggregation": "sequence-mean", "kl_coefficient": 0.0, "entropy_coefficient": 0.0},
}


def settings(
    ranks: int = 1, zero: int = 2, chunk: int | None = None, dtype: str = "auto", **more: object
) -> OpenrlhfPolicyConfig:
    return OpenrlhfPolicyConfig.model_validate(
        {
            "dtype": dtype,
            "cluster": {
                "device": "cpu", "gpus_per_node": ranks, "host_memory_gib": 8, "packing": False, "zero_stage": zero,
                "checkpoint_activations": False, "memory_fraction": 0.25, "logits_chunk_tokens": chunk,
                "gpu": {"name": "CPU", "memory_gib": 4, "tflops": 0.03, "bandwidth_gb_s": 10}, **more,
            },
        }
    )  # fmt: skip


def start(folder: Path, config: OpenrlhfPolicyConfig, temperature: float = 1.0) -> Policy:
    return openrlhf_policy(folder, config, temperature=temperature, longest=None, micro_batch_tokens=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return peaked(PLAIN, tmp_path_factory.mktemp("plain"))


class Fresh:
    """A policy that can be as it was at the start: its processes take most of a minute to start."""

    def __init__(self, policy: Policy, start: Path) -> None:
        self._policy, self._start = policy, start
        policy.learner.save(start)

    def again(self) -> Policy:
        self._policy.learner.load(self._start)
        return self._policy


@pytest.fixture(scope="module")
def two(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Fresh]]:
    """Two of one rank with ZeRO-2."""
    policies = [start(folder, settings()) for _ in range(2)]
    yield [Fresh(policy, tmp_path_factory.mktemp("start")) for policy in policies]
    for policy in policies:
        policy.close()


class InTurn:
    """The two policies, each as it was at the start, one after the other; then the last again."""

    def __init__(self, two: list[Fresh]) -> None:
        self._two, self._last = iter(two), two[-1]._policy

    def __call__(self) -> Policy:
        fresh = next(self._two, None)
        self._last = self._last if fresh is None else fresh.again()
        return self._last


class TestOpenrlhfSampler(SamplerConformance):
    vocabulary = 1024

    @pytest.fixture
    def make(self, two: list[Fresh]) -> Make:
        begin = InTurn(two)
        return lambda: begin().sampler


class TestOpenrlhfLearner(LearnerConformance):
    @pytest.fixture
    def begin(self, two: list[Fresh]) -> Begin:
        return InTurn(two)


def gap(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max())


@pytest.fixture(
    scope="module",
    params=[settings(), settings(ranks=2, zero=3, chunk=64, checkpoint_activations=True), settings(ranks=2, chunk=64)],
    ids=["1 rank ZeRO-2", "2 ranks ZeRO-3 chunked", "2 ranks ZeRO-2 chunked"],
)
def fresh(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    policy = start(folder, request.param)
    yield Fresh(policy, tmp_path_factory.mktemp("start"))
    policy.close()


@pytest.mark.parametrize("reference", [False, True], ids=["policy", "reference"])
@pytest.mark.parametrize("growing", [True, False], ids=["history full", "history 2"])
def test_scores_are_the_local_policys(fresh: Fresh, folder: Path, growing: bool, reference: bool) -> None:
    policy = fresh.again()
    rows = sequences(converse(policy.sampler, episodes=6, growing=growing))
    local = local_policy(folder, temperature=1.0).learner.score(rows)
    for ours, theirs in zip(policy.learner.score(rows, reference=reference), local, strict=True):
        assert gap(ours.logprobs, theirs.logprobs) < 3e-5
        assert gap(ours.entropies, theirs.entropies) < 3e-5


@pytest.mark.parametrize("growing", [True, False], ids=["history full", "history 2"])
@pytest.mark.parametrize("arm", ["grpo", "dapo", "dr_grpo", "sequence-mean"])
def test_an_update_is_the_local_policys(fresh: Fresh, folder: Path, tmp_path: Path, arm: str, growing: bool) -> None:
    """The same rows, settings and seed: the loss, the gradient's norm and the change of the weights agree. Two steps: what
    the first one rounds otherwise, Adam enlarges where a gradient is nearly nothing."""
    update = UPDATE.model_copy(update=ARMS[arm])
    policy, local = fresh.again(), local_policy(folder, temperature=1.0)
    rows = sequences(converse(policy.sampler, episodes=6, growing=growing))
    ours, theirs = (each.learner.update(rows, update, seed=0) for each in (policy, local))
    names = ["loss", "policy_loss", "clip_fraction", "clip_fraction_high", "ratio", "approx_kl"]
    for name in [*names, *(["kl", "entropy"] if update.kl_coefficient else [])]:
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-2, abs=1e-3), name
    assert ours.gradient_norm == pytest.approx(theirs.gradient_norm, rel=1e-2)
    assert (ours.optimizer_steps, ours.tokens) == (theirs.optimizer_steps, theirs.tokens)
    assert ours.extra["importance_weight"] == pytest.approx(1.0, abs=1e-4)
    assert ours.extra["sampler_gap_max"] < 5e-5
    for name, each in (("ours", policy), ("theirs", local)):
        each.learner.save(tmp_path / name)
    changes = [change(folder, tmp_path / name / "model") for name in ("ours", "theirs")]
    assert cosine(*changes) > 0.999
    assert np.linalg.norm(changes[0]) == pytest.approx(np.linalg.norm(changes[1]), rel=1e-3)


def change(before: Path, after: Path) -> np.ndarray:
    from safetensors.torch import load_file

    old, new = (load_file(f / "model.safetensors") for f in (before, after))
    return np.concatenate([(new[k].float() - old[k].float()).numpy().ravel() for k in sorted(old)])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_what_is_sampled_after_an_update_has_the_new_weights(fresh: Fresh) -> None:
    policy = fresh.again()
    before = sequences(converse(policy.sampler, episodes=4))
    policy.learner.update(before, SETTINGS, seed=0)
    after = sequences(converse(policy.sampler, episodes=4))
    assert any(a.token_ids.tolist() != b.token_ids.tolist() for a, b in zip(before, after, strict=True))
    for row, score in zip(after, policy.learner.score(after), strict=True):
        assert gap(score.logprobs, row.behaviour_logprobs) < 5e-5


def test_greedy_tokens_are_the_local_policys(two: list[Fresh], folder: Path) -> None:
    both = [
        sequences(converse(p.sampler, episodes=6, sampling=GREEDY))
        for p in (two[0].again(), local_policy(folder, temperature=1.0))
    ]
    assert [row.token_ids.tolist() for row in both[0]] == [row.token_ids.tolist() for row in both[1]]


def test_bfloat16_stays_within_its_error(folder: Path, tmp_path: Path) -> None:
    """Log-probs and entropies within a few of bfloat16's 2^-8 steps of float32's; the update goes the same way."""
    policy, local = start(folder, settings(dtype="bfloat16")), local_policy(folder, temperature=1.0)
    try:
        rows = sequences(converse(policy.sampler, episodes=6))
        pairs = zip(policy.learner.score(rows), local.learner.score(rows), strict=True)
        gaps = np.concatenate([np.abs(a.logprobs - b.logprobs) for a, b in pairs])
        assert gaps.mean() < 0.03
        assert gaps.max() < 0.5
        one_step = UPDATE.model_copy(update={"minibatch_size": 100})
        for name, each in (("ours", policy), ("theirs", local)):
            each.learner.update(rows, one_step, seed=0)
            each.learner.save(tmp_path / name)
    finally:
        policy.close()
    assert (
        cosine(*(change(folder, tmp_path / name / "model") for name in ("ours", "theirs"))) > 0.8
    )  # the change is a few of bfloat16's steps


@pytest.mark.parametrize("advantage", [np.nan, 3e38], ids=["the loss", "the gradient alone"])
def test_what_is_not_finite_is_reported(two: list[Fresh], advantage: float) -> None:
    policy = two[0].again()
    row = sequences(converse(policy.sampler, episodes=2))[0]
    advantages = np.where(row.action_mask, np.float32(advantage), np.float32(0.0))
    spoiled = TrainingSequence(row.token_ids, row.action_mask, row.behaviour_logprobs, advantages, row.step_ids)
    with pytest.raises(NonFiniteLoss, match="learning_rate"):
        policy.learner.update([spoiled], SETTINGS, seed=0)


def test_a_checkpoint_of_other_ranks_is_named(two: list[Fresh], tmp_path: Path) -> None:
    policy = two[0].again()
    policy.learner.save(tmp_path / "c")
    file = tmp_path / "c" / "ranks.json"
    file.write_text(file.read_text().replace('"ranks": 1', '"ranks": 4'))
    with pytest.raises(MissingCheckpoint, match="written by 4 ranks"):
        policy.learner.load(tmp_path / "c")


def test_nobody_answers_at_the_address(folder: Path, two: list[Fresh], monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of an interpreter without Ray; here Ray runs already."""
    from pipelines.policies.openrlhf.cluster import _check_answers

    with pytest.raises(ConfigError, match=r"no Ray answers at 127\.0\.0\.1:9"):
        _check_answers("127.0.0.1:9")


def test_closing_twice_leaves_the_others_their_ray(two: list[Fresh], folder: Path) -> None:
    from pipelines.policies.openrlhf import cluster

    users = cluster._users
    third = start(folder, settings())
    with pytest.raises(WorkerDied, match="a Ray process failed"):  # no method of that name
        third.sampler._processes.all_trainers("nothing")
    for _ in range(2):
        third.close()
    assert cluster._users == users
    assert converse(two[0].again().sampler)


def pid_of(log: str) -> int:
    return int(Path(log).stem.rsplit("-", 1)[1])


def test_the_death_of_an_engine_in_a_rollout_ends_it_with_its_last_words(folder: Path) -> None:
    policy = start(folder, settings())
    processes = policy.sampler._processes
    engine = pid_of(processes._logs[processes._engines[0]])
    context = tuple(policy.sampler.codec.chat_prompt([Message("user", OBSERVATIONS[0])], continues=False))

    async def play() -> None:
        policy.sampler.open_rollout(1)
        threading.Timer(0.2, os.kill, (engine, signal.SIGKILL)).start()
        for turn in range(10_000):
            await policy.sampler.generate(GenerationRequest(0, context, turn, SamplingSettings(1.0, max_tokens=200)))

    try:
        with pytest.raises((WorkerDied, EngineDied), match="launch again"):
            asyncio.run(play())
    finally:
        policy.close()


def test_the_death_of_a_rank_ends_an_update_and_nobody_hangs(folder: Path) -> None:
    """Two ranks: the one that lives would wait for the dead one for an hour."""
    policy = start(folder, settings(ranks=2))
    rows = sequences(converse(policy.sampler, episodes=6))
    processes = policy.sampler._processes
    rank = pid_of(processes._logs[processes._trainers[1]])
    try:
        os.kill(rank, signal.SIGSTOP)  # so that it dies while the other waits for it
        threading.Timer(1.0, os.kill, (rank, signal.SIGKILL)).start()
        began = time.monotonic()
        with pytest.raises(PlatformError, match="launch again"):
            policy.learner.update(rows, SETTINGS, seed=0)
        assert time.monotonic() - began < 120
    finally:
        policy.close()


def test_a_model_that_vllm_does_not_run_is_reported(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    config = tmp_path / "other" / "config.json"
    text = config.read_text().replace("Qwen2ForCausalLM", "NobodysForCausalLM").replace('"qwen2"', '"nobodys"')
    config.write_text(text)
    with pytest.raises(ConfigError, match="vLLM cannot run the model"):
        start(tmp_path / "other", settings())
    (tmp_path / "other" / "model.safetensors").unlink()
    with pytest.raises(MissingCheckpoint, match="safetensors"):
        start(tmp_path / "other", settings())
