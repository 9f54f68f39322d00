"""Imitation learns what it is shown, only where the weights say so, with the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import PretrainedWarmStart, StandInWarmStart
from pipelines.policies import codec
from pipelines.policies.local import imitation
from pipelines.policies.local.imitation import imitate
from pipelines.policies.local.native import NativeEngine
from pipelines.policies.local.patches import muon_in_float32
from pipelines.policies.local.policy import local_policy
from pipelines.protocols import Message, SamplingSettings
from pipelines.records import DemoSequence
from tests.policies.conftest import ANSWERS
from tests.policies.play import OBSERVATIONS, converse


def demonstrations(folder: Path) -> Iterator[DemoSequence]:
    """Always the same answer, whatever is observed; sequences of several lengths."""
    tokens = codec(folder)
    for i in count():
        ids, weights = list[int](), list[float]()
        for turn in range(1 + i % 3):
            prompt = tokens.chat_prompt(
                [Message("user", OBSERVATIONS[(i + turn) % len(OBSERVATIONS)])], continues=turn > 0
            )
            answer = [*tokens.encode(ANSWERS[0]), tokens.end_of_message]
            ids += prompt + answer
            weights += [0.3] * len(prompt) + [1.0] * len(answer)
        yield DemoSequence(np.array(ids, np.int32), np.array(weights, np.float32))


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_it_learns_to_answer(model_folder: Path, tmp_path: Path, optimizer: str) -> None:
    settings = StandInWarmStart.model_validate(
        {"tokens": 40_000, "batch_tokens": 512, "learning_rate": 5e-3, "matrix_optimizer": optimizer}
    )
    heard: list[tuple[int, int]] = []
    metrics = imitate(
        model_folder,
        tmp_path / "a",
        demonstrations(model_folder),
        settings,
        tokens=40_000,
        on_progress=lambda *p: heard.append(p),
    )
    policy = local_policy(tmp_path / "a", temperature=1.0)
    answers = [
        t.generation.text for c in converse(policy.sampler, sampling=SamplingSettings(0.0, max_tokens=40)) for t in c
    ]
    assert answers.count(ANSWERS[0]) >= 0.75 * len(answers)
    assert metrics["warm_start/tokens"] >= 40_000
    assert heard[-1] == (40_000, 40_000)


def test_a_pretrained_models_logits_are_never_there_at_once(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks, and the loss of one step is what it is at once."""
    settings = PretrainedWarmStart(episodes=1, batch_tokens=256, learning_rate=1e-4, device="cpu")

    def loss() -> float:
        told = imitate(
            model_folder, tmp_path, demonstrations(model_folder), settings, tokens=200, on_progress=lambda *_: None
        )
        return told["warm_start/loss"]

    with monkeypatch.context() as patched:
        patched.setattr(imitation, "_in_chunks", imitation._at_once)
        expected = loss()
    monkeypatch.delattr(NativeEngine, "logits")
    assert loss() == pytest.approx(expected, rel=1e-5)


def test_the_same_demonstrations_make_the_same_bytes(model_folder: Path, tmp_path: Path) -> None:
    settings = StandInWarmStart(tokens=3_000, batch_tokens=512)
    for name in ("a", "b"):
        imitate(
            model_folder,
            tmp_path / name,
            demonstrations(model_folder),
            settings,
            tokens=3_000,
            on_progress=lambda *_: None,
        )
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 2**16))
def test_muon_orthogonalises_in_float32(rows: int, columns: int, seed: int) -> None:
    """By torch's own optimizer. Each singular value s of the normalised gradient becomes p(p(p(p(p(s))))) of Muon's polynomial
    p(s) = 3.4445 s - 4.775 s³ + 2.0315 s⁵, and its vectors stay; here in float64. The step of a matrix is that times the learning
    rate and √max(1, rows / columns), torch's adjustment."""
    gradient = torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, columns))).float()
    weight = torch.nn.Parameter(torch.zeros(rows, columns))
    muon_in_float32()
    optimizer = torch.optim.Muon([weight], lr=0.5, momentum=0.0, nesterov=False, weight_decay=0.0)
    weight.grad = gradient.clone()
    optimizer.step()
    u, s, v = torch.linalg.svd(gradient.double(), full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(5):
        s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
    step = 0.5 * max(1.0, rows / columns) ** 0.5 * (u @ torch.diag(s) @ v)
    assert weight.dtype == torch.float32
    torch.testing.assert_close(-weight.double(), step, atol=2e-4, rtol=0)  # bfloat16 would be off by some 1e-2
