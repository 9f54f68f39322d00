"""LoRA by OpenRLHF's trainer: it trains what ``policy=local`` trains, saves what that saves, and vLLM samples from the merged model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from pipelines.config import LoraSettings
from pipelines.errors import ConfigError, MissingCheckpoint
from pipelines.policies import merge_adapter
from pipelines.policies.local.learner import LocalLearner
from pipelines.policies.local.policy import local_policy
from pipelines.policies.lora_files import FOLDER
from pipelines.policies.openrlhf.policy import openrlhf_policy
from pipelines.protocols import Policy
from pipelines.records import Score
from tests.policies.conftest import peaked
from tests.policies.play import converse, sequences
from tests.policies.test_openrlhf import PLAIN, UPDATE, Fresh, cosine, gap, settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
LORA = LoraSettings(rank=3, alpha=6.0, targets=("q_proj", "v_proj", "o_proj", "up_proj"))
LARGE = UPDATE.model_copy(update={"learning_rate": 0.01, "weight_decay": 0.0})


def start(folder: Path, config: object, adapter: LoraSettings = LORA) -> Policy:
    return openrlhf_policy(folder, config, temperature=1.0, longest=None, micro_batch_tokens=300, adapter=adapter)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return peaked(PLAIN, tmp_path_factory.mktemp("plain"))


@pytest.fixture(
    scope="module",
    params=[settings(), settings(ranks=2, chunk=64, checkpoint_activations=True)],
    ids=["1 rank", "2 ranks chunked"],
)
def fresh(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    policy = start(folder, request.param)
    yield Fresh(policy, tmp_path_factory.mktemp("start"))
    policy.close()


def worst(some: list[Score], others: list[Score]) -> float:
    return max(gap(a.logprobs, b.logprobs) for a, b in zip(some, others, strict=True))


def test_it_trains_and_saves_what_the_local_policy_does(fresh: Fresh, folder: Path, tmp_path: Path) -> None:
    """The same rows, settings and seed. The reference is the model without the change, which is W + α/r · B A where it is merged."""
    policy, local = fresh.again(), local_policy(folder, temperature=1.0, adapter=LORA)
    rows = sequences(converse(policy.sampler, episodes=6))
    before = local.learner.score(rows)
    assert worst(policy.learner.score(rows), before) < 3e-5
    ours, theirs = (each.learner.update(rows, LARGE, seed=0) for each in (policy, local))
    assert ours.gradient_norm == pytest.approx(theirs.gradient_norm, rel=1e-2)
    assert ours.kl == pytest.approx(theirs.kl, rel=1e-2, abs=1e-5)
    for name, each in (("ours", policy), ("theirs", local)):
        each.learner.save(tmp_path / name)
        assert not (tmp_path / name / "model").exists()
    merge_adapter(folder, tmp_path / "ours" / FOLDER, tmp_path / "ours" / "model")
    after = policy.learner.score(rows)
    assert worst(after, before) > 0.01
    assert worst(policy.learner.score(rows, reference=True), before) < 3e-5

    one, two = (load_file(tmp_path / name / FOLDER / "adapter_model.safetensors") for name in ("ours", "theirs"))
    assert {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in two.items()}
    assert (
        cosine(*(np.concatenate([t[k].numpy().ravel() for k in sorted(t) if ".lora_B." in k]) for t in (one, two)))
        > 0.999
    )
    configs = [(tmp_path / name / FOLDER / "adapter_config.json").read_bytes() for name in ("ours", "theirs")]
    assert configs[0] == configs[1]

    first, merged = (load_file(f / "model.safetensors") for f in (folder, tmp_path / "ours" / "model"))
    assert merged.keys() == first.keys()
    changed = {
        name: one[f"base_model.model.{name}.lora_B.weight"] @ one[f"base_model.model.{name}.lora_A.weight"]
        for name in modules(one)
    }
    for name, weight in first.items():
        expected = weight + 2.0 * changed.get(name.removesuffix(".weight"), 0.0)
        assert float((merged[name] - expected).abs().max()) < 1e-5, name

    reader = local_policy(folder, temperature=1.0, adapter=LORA).learner
    assert isinstance(reader, LocalLearner)
    assert reader._engine.adapter is not None
    reader._engine.adapter.load(tmp_path / "ours" / FOLDER)
    assert worst(reader.score(rows), after) < 3e-5
    assert worst(local_policy(tmp_path / "ours" / "model", temperature=1.0).learner.score(rows), after) < 3e-5


def modules(tensors: object) -> list[str]:
    return [n.removeprefix("base_model.model.").removesuffix(".lora_A.weight") for n in tensors if ".lora_A." in n]  # type: ignore[attr-defined]


def test_vllm_samples_from_the_merged_model(fresh: Fresh) -> None:
    policy = fresh.again()
    rows = sequences(converse(policy.sampler, episodes=4))
    policy.learner.update(rows, LARGE, seed=0)
    sampled = sequences(converse(policy.sampler, episodes=4))
    assert any(a.token_ids.tolist() != b.token_ids.tolist() for a, b in zip(rows, sampled, strict=True))
    for row, score in zip(sampled, policy.learner.score(sampled), strict=True):
        assert gap(score.logprobs, row.behaviour_logprobs) < 5e-5


def test_it_goes_on_from_its_checkpoint_which_holds_no_frozen_weight_twice(
    fresh: Fresh, folder: Path, tmp_path: Path
) -> None:
    policy = fresh.again()
    rows = sequences(converse(policy.sampler, episodes=6))
    policy.learner.update(rows, LARGE, seed=0)
    policy.learner.save(tmp_path / "c")
    there = policy.learner.score(rows)
    policy.learner.update(rows, LARGE, seed=1)
    on = policy.learner.score(rows)
    assert worst(there, on) > 1e-3
    policy.learner.load(tmp_path / "c")
    assert worst(policy.learner.score(rows), there) < 1e-6
    policy.learner.update(rows, LARGE, seed=1)
    assert worst(policy.learner.score(rows), on) < 1e-5
    state = sum(file.stat().st_size for file in (tmp_path / "c" / "deepspeed").iterdir())
    assert state < (folder / "model.safetensors").stat().st_size / 2


def test_a_checkpoint_of_another_adapter_is_named(fresh: Fresh, folder: Path, tmp_path: Path) -> None:
    policy = fresh.again()
    policy.learner.save(tmp_path / "c")
    other = local_policy(folder, temperature=1.0, adapter=LORA.model_copy(update={"rank": 2}))
    other.learner.save(tmp_path / "other")
    shutil.rmtree(tmp_path / "c" / FOLDER)
    shutil.copytree(tmp_path / "other" / FOLDER, tmp_path / "c" / FOLDER)
    with pytest.raises(MissingCheckpoint, match=r"training\.adapter"):
        policy.learner.load(tmp_path / "c")


def test_a_target_that_the_model_has_not_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"targets.*no projection lm_head, only .*q_proj"):
        start(folder, settings(), LoraSettings(targets=("lm_head",)))
