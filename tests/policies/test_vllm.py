"""vLLM keeps the samplers' kit and agrees with the local policy: tokens, log-probs and entropies."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.config import StandIn
from pipelines.errors import ConfigError, MissingCheckpoint
from pipelines.policies.local.policy import local_policy
from pipelines.policies.vllm.config import VllmPolicyConfig
from pipelines.policies.vllm.sampler import VllmSampler
from pipelines.protocols import Generation, GenerationRequest, Message, Sampler, SamplingSettings
from tests.policies.conformance import Make, SamplerConformance
from tests.policies.conftest import SHAPE, peaked
from tests.policies.play import OBSERVATIONS, Turn, converse, sequences

pytestmark = pytest.mark.cluster
# Of a plain Qwen2 (heads × head_dim = hidden_size), as vLLM takes every Qwen2 to be.
PLAIN = StandIn(hidden_size=128, layers=2, heads=4, kv_heads=2, mlp=96, context_length=512)
EXACT = VllmPolicyConfig(dtype="float32", entropies="exact")
ROOT = Path(__file__).parents[2]
GREEDY = SamplingSettings(temperature=0.0, max_tokens=9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return peaked(PLAIN, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def sampler(folder: Path) -> Iterator[VllmSampler]:
    """One for all: an engine takes seconds, and a rollout leaves nothing behind."""
    sampler = VllmSampler(folder, EXACT)
    yield sampler
    sampler.close()


@pytest.fixture
def local(folder: Path) -> Sampler:
    return local_policy(folder, temperature=1.0).sampler


class TestVllm(SamplerConformance):
    vocabulary = 1024

    @pytest.fixture
    def make(self, sampler: VllmSampler) -> Make:
        return lambda: sampler


def turns(conversations: list[list[Turn]]) -> list[Turn]:
    return [turn for conversation in conversations for turn in conversation]


@pytest.mark.parametrize("growing", [True, False], ids=["growing", "fresh"])
def test_greedy_tokens_are_the_local_policys(sampler: VllmSampler, local: Sampler, growing: bool) -> None:
    """Several turns through the prefix cache; greedy log-probs and entropies are the untempered sampler's."""
    theirs, ours = (
        turns(converse(each, episodes=8, turns=3, growing=growing, sampling=GREEDY)) for each in (sampler, local)
    )
    for a, b in zip(theirs, ours, strict=True):
        assert a.generation.action_ids.tolist() == b.generation.action_ids.tolist()
        assert a.generation.text == b.generation.text
        np.testing.assert_allclose(a.generation.logprobs, b.generation.logprobs, atol=2e-5)
        np.testing.assert_allclose(a.generation.entropies, b.generation.entropies, atol=2e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_sampled_tokens_have_the_local_policys_logprobs_and_entropies(
    sampler: VllmSampler, folder: Path, temperature: float
) -> None:
    """What the two engines' logits differ by is divided by the temperature."""
    conversations = converse(sampler, episodes=8, sampling=SamplingSettings(temperature, max_tokens=9))
    rows = sequences(conversations)
    scores = local_policy(folder, temperature=temperature).learner.score(rows)
    for field in ("logprobs", "entropies"):
        sampled = np.concatenate([getattr(turn.generation, field) for turn in turns(conversations)])
        scored = np.concatenate([getattr(s, field)[row.action_mask] for s, row in zip(scores, rows, strict=True)])
        np.testing.assert_allclose(sampled, scored, atol=2e-5 / temperature)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_more_than_a_step_holds(sampler: VllmSampler, local: Sampler, temperature: float) -> None:
    """Twenty episodes with the longest context there is room for: prompts queue, every one has its own generator."""
    context = (local.codec.encode(" a mug 1 Nothing happens.") * 400)[: sampler.context_length - 9]
    sampling = SamplingSettings(temperature, max_tokens=9)

    async def everyone(each: VllmSampler | Sampler) -> list[Generation]:
        requests = [GenerationRequest(i, (*context[i:], *context[:i]), 7 + i, sampling) for i in range(20)]
        return list(await asyncio.gather(*(each.generate(request) for request in requests)))

    for each in (sampler, local):
        each.open_rollout(20)
    ours = asyncio.run(everyone(sampler))
    if temperature == 0.0:
        for a, b in zip(ours, asyncio.run(everyone(local)), strict=True):
            assert a.action_ids.tolist() == b.action_ids.tolist()
            np.testing.assert_allclose(a.entropies, b.entropies, atol=2e-5)
    else:
        sampler.open_rollout(20)
        again = asyncio.run(everyone(sampler))
        assert [a.action_ids.tolist() for a in ours] == [b.action_ids.tolist() for b in again]


def test_a_prefix_is_read_once(sampler: VllmSampler) -> None:
    """The second turn of a growing context finds its first one in the cache, the next rollout finds nothing."""
    context = sampler.codec.chat_prompt([Message("user", " ".join(OBSERVATIONS))], continues=False)
    asked = sampler._sampling(GenerationRequest(0, tuple(context), 0, GREEDY))

    async def twice() -> list[int]:
        return [(await sampler._batching.complete(context, asked)).num_cached_tokens for _ in range(2)]

    for _ in range(2):
        sampler.open_rollout(1)
        cached = asyncio.run(twice())
        assert cached[0] == 0
        assert cached[1] >= 32


def test_a_cancelled_turn_leaves_the_engine(sampler: VllmSampler) -> None:
    """Ctrl-C in a rollout: the next rollout of the same sampler plays as if nothing had been."""
    whole = turns(converse(sampler))

    async def cancelled() -> None:
        context = tuple(sampler.codec.chat_prompt([Message("user", OBSERVATIONS[0])], continues=False))
        request = GenerationRequest(0, context, 0, SamplingSettings(1.0, max_tokens=200))
        task = asyncio.create_task(sampler.generate(request))
        for _ in range(6):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    sampler.open_rollout(1)
    asyncio.run(cancelled())
    assert not sampler.engine.has_unfinished_requests()
    for a, b in zip(whole, turns(converse(sampler)), strict=True):
        assert a.generation.action_ids.tolist() == b.generation.action_ids.tolist()


def test_the_death_of_a_worker_is_reported_and_nobody_hangs(folder: Path) -> None:
    """Two tensor-parallel processes play as one does; then one is killed. In an interpreter of its own, which ends too."""
    command = [sys.executable, "-m", "tests.policies.vllm_death", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "ended"


# ------------------------------------------------------------------------------------------------------------ folders


def damaged(folder: Path, out: Path, **config: object) -> Path:
    shutil.copytree(folder, out)
    file = out / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return out


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingCheckpoint, match="nowhere is missing, cut or damaged"):
        VllmSampler(tmp_path / "nowhere", EXACT)


def test_a_truncated_model_is_named(folder: Path, tmp_path: Path) -> None:
    file = damaged(folder, tmp_path / "cut") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(MissingCheckpoint, match="cut is missing, cut or damaged"):
        VllmSampler(tmp_path / "cut", EXACT)
    file.unlink()
    with pytest.raises(MissingCheckpoint, match="holds no"):
        VllmSampler(tmp_path / "cut", EXACT)


def test_a_part_that_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    parts = damaged(folder, tmp_path / "parts")
    (parts / "model.safetensors").rename(parts / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (parts / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MissingCheckpoint, match=r"model-2\.safetensors"):
        VllmSampler(parts, EXACT)


def test_another_architecture_is_named(folder: Path, tmp_path: Path) -> None:
    other = damaged(folder, tmp_path / "other", architectures=["PerceptronForPoetry"], model_type="qwen2")
    with pytest.raises(ConfigError, match=r"cannot run the model in .*other.*PerceptronForPoetry"):
        VllmSampler(other, EXACT)


def test_a_shape_that_vllm_would_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="4 × 32 ≠ 64"):
        VllmSampler(peaked(SHAPE, tmp_path / "heads"), EXACT)
