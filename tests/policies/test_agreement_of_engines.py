"""Local, transformers, vLLM and OpenRLHF's trainer over genuine vocabularies: log-probs, entropies, the direction of an update; each
difference is shown. In .venv-cluster, with the extra ``real`` beside it (requirements/real.txt): pytest -s -m "cluster and real"."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from pipelines.policies.local.policy import local_policy
from pipelines.policies.openrlhf.policy import openrlhf_policy
from pipelines.protocols import SamplingSettings
from pipelines.records import TrainingSequence
from tests.policies.conformance import SETTINGS
from tests.policies.genuine import GENUINE, genuine_folder
from tests.policies.play import Turn, converse, sequences
from tests.policies.test_openrlhf import settings

vllm = pytest.importorskip("vllm")

from pipelines.policies.vllm.config import VllmPolicyConfig  # noqa: E402
from pipelines.policies.vllm.sampler import VllmSampler  # noqa: E402

pytestmark = [pytest.mark.cluster, pytest.mark.real, pytest.mark.timeout(1200)]
PLAIN = SETTINGS.model_copy(
    update={"minibatch_size": 256, "micro_batch_tokens": 2048, "kl_coefficient": 0.0, "entropy_coefficient": 0.0}
)
TRAINER = settings(chunk=256, gpu={"name": "CPU", "memory_gib": 12, "tflops": 0.03, "bandwidth_gb_s": 10})
Numbers = list[tuple[np.ndarray, np.ndarray]]  # of each row, log-probs and entropies of the action tokens


@pytest.fixture(scope="module", params=GENUINE)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return genuine_folder(request.param, tmp_path_factory.mktemp("genuine"))


def test_all_engines_say_the_same_and_train_the_same(folder: Path, tmp_path: Path) -> None:
    """One engine after the other, each gone before the next begins: of half a billion parameters two do not fit into 24 GB."""
    drawn, shown = SamplingSettings(1.0, 9), dict[str, tuple[float, float]]()
    local = local_policy(folder, temperature=1.0)
    played = converse(local.sampler, episodes=3, turns=2, sampling=drawn)
    rows = sequences(played)
    by_local = {"local, sampled": sampled(played), "local, scored": scored(local.learner, rows)}
    local.learner.update(rows, PLAIN, seed=0)
    local.learner.save(tmp_path / "local")
    del local
    gc.collect()
    expected = by_transformers(folder, rows)
    shown |= {name: differences(numbers, expected) for name, numbers in by_local.items()}

    sampler = VllmSampler(folder, VllmPolicyConfig(dtype="float32", entropies="exact", context_length=512))
    by_vllm = converse(sampler, episodes=3, turns=2, sampling=drawn)
    sampler.close()
    del sampler
    gc.collect()
    shown["vLLM, sampled"] = differences(sampled(by_vllm), by_transformers(folder, sequences(by_vllm)))

    trainer = openrlhf_policy(folder, TRAINER, temperature=1.0, longest=512, micro_batch_tokens=2048)
    try:
        shown["OpenRLHF, scored"] = differences(scored(trainer.learner, rows), expected)
        trainer.learner.update(rows, PLAIN, seed=0)
        trainer.learner.save(tmp_path / "openrlhf")
    finally:
        trainer.close()
    alike = alike_updates(
        *(path / "model.safetensors" for path in (folder, tmp_path / "local/model", tmp_path / "openrlhf/model"))
    )
    tokens = sum(int(row.action_mask.sum()) for row in rows)
    print(f"\n{folder.name}, {tokens} tokens; at most, in nats, of log-probs and entropies against transformers:")
    for name, (logprob, entropy) in shown.items():
        print(f"  {name:18} {logprob:.1e} {entropy:.1e}")
    print(f"  cosine of the updates of local and OpenRLHF's trainer: 1 - {1 - alike:.1g}")
    # Rounding grows with depth and the logits: of half a billion random weights vLLM was off by 4.2e-4, of the others 9.1e-5 at most.
    assert max(max(pair) for pair in shown.values()) < 1e-3
    assert alike > 0.99  # Adam's first step is the gradient's sign, be it ever so small


def alike_updates(before: Path, ours: Path, theirs: Path) -> float:
    """The cosine of two changes of the weights, tensor by tensor; a tied output matrix may be named by one of the folders alone."""
    dots = torch.zeros(3, dtype=torch.float64)
    with safe_open(before, "pt") as first, safe_open(ours, "pt") as one, safe_open(theirs, "pt") as other:
        for name in set(first.keys()) & set(one.keys()) & set(other.keys()):
            start = first.get_tensor(name).float().flatten()
            a, b = (after.get_tensor(name).float().flatten() - start for after in (one, other))
            dots += torch.stack([a @ b, a @ a, b @ b]).double()
    return float(dots[0] / (dots[1] * dots[2]).sqrt())


def by_transformers(folder: Path, rows: Sequence[TrainingSequence]) -> Numbers:
    model, found = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), Numbers()
    for row in rows:
        ids = torch.from_numpy(row.token_ids).long()
        with torch.no_grad():
            logp = model(ids[None]).logits[0, :-1].log_softmax(-1)
        chosen, entropy = logp.gather(1, ids[1:, None])[:, 0], -(logp.exp() * logp).sum(-1)
        found.append((chosen.numpy()[row.action_mask[1:]], entropy.numpy()[row.action_mask[1:]]))
    return found


def sampled(conversations: Sequence[Sequence[Turn]]) -> Numbers:
    """What the sampler said of the tokens that it drew, in one growing row of each conversation."""
    return [
        tuple(np.concatenate([getattr(turn.generation, name) for turn in turns]) for name in ("logprobs", "entropies"))
        for turns in conversations
    ]


def scored(learner: object, rows: Sequence[TrainingSequence]) -> Numbers:
    scores = learner.score(rows)  # type: ignore[attr-defined]
    return [(s.logprobs[row.action_mask], s.entropies[row.action_mask]) for s, row in zip(scores, rows, strict=True)]


def differences(ours: Numbers, expected: Numbers) -> tuple[float, float]:
    gaps = [
        [np.abs(mine - theirs) for mine, theirs in zip(one, other, strict=True)]
        for one, other in zip(ours, expected, strict=True)
    ]
    logprobs, entropies = (np.concatenate(parts) for parts in zip(*gaps, strict=True))
    return float(logprobs.max()), float(entropies.max())
