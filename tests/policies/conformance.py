"""What every sampler and every learner must keep. A test class inherits ``SamplerConformance`` or ``LearnerConformance`` and
provides the fixture ``make`` or ``begin``."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.config import UpdateSettings
from pipelines.errors import MissingCheckpoint
from pipelines.protocols import Message, Policy, Sampler, SamplingSettings
from tests.policies.play import converse, same, sequences

SETTINGS = UpdateSettings(learning_rate=1e-3, minibatch_size=2, kl_coefficient=0.01, entropy_coefficient=0.001)
Make = Callable[[], Sampler]
Begin = Callable[[], Policy]
_FIXTURE_STAYS = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    deadline=None,
    max_examples=60,
    derandomize=True,
)


class SamplerConformance:
    """``make``: a sampler as it is at the start of a run."""

    vocabulary: int  # the entropies' bound is its logarithm

    @pytest.mark.parametrize("growing", [True, False], ids=["one growing context", "a fresh context each turn"])
    def test_a_generation_is_well_formed(self, make: Make, growing: bool) -> None:
        sampler = make()
        for conversation in converse(sampler, growing=growing):
            for turn in conversation:
                g = turn.generation
                m = len(g.action_ids)
                assert 1 <= m <= 9
                assert len(g.logprobs) == len(g.entropies) == m
                assert [str(x.dtype) for x in (g.action_ids, g.logprobs, g.entropies)] == [
                    "int32",
                    "float32",
                    "float32",
                ]
                assert (g.logprobs <= 0).all()
                if g.squared_scores is not None:  # ‖e_k − π‖², from 0 to 2
                    assert (g.squared_scores.dtype, len(g.squared_scores)) == (np.float32, m)
                    assert ((g.squared_scores > -1e-6) & (g.squared_scores <= 2)).all()
                if not np.isnan(g.entropies).all():  # exact, or absent
                    assert (g.entropies >= 0).all()
                    assert (g.entropies <= math.log(self.vocabulary) + 1e-5).all()
                ids, ends = g.action_ids.tolist(), sampler.codec.ends
                assert not ends & set(ids[:-1])
                assert m == 9 or ids[-1] in ends
                assert g.text == sampler.codec.message(ids)

    def test_the_seed_decides(self, make: Make) -> None:
        first, again, other = (converse(make(), seed=seed) for seed in (0, 0, 5))
        assert same(first, again)
        assert not same(first, other)

    def test_a_second_rollout_of_the_same_sampler_is_the_same(self, make: Make) -> None:
        sampler = make()
        assert same(converse(sampler), converse(sampler))

    def test_one_token_is_enough(self, make: Make) -> None:
        for conversation in converse(make(), sampling=SamplingSettings(1.0, max_tokens=1)):
            assert all(len(turn.generation.action_ids) == 1 for turn in conversation)

    @_FIXTURE_STAYS
    @given(text=st.text())
    def test_text_survives_the_codec(self, make: Make, text: str) -> None:
        codec = make().codec
        assert codec.decode(codec.encode(text)) == text
        assert codec.end_of_message in codec.ends
        assert not codec.ends & set(codec.encode(text))

    def test_a_prompt_holds_its_text(self, make: Make) -> None:
        codec = make().codec
        for continues in (False, True):
            ids = codec.chat_prompt([Message("user", "a mug 1")], continues=continues)
            inner = codec.encode("a mug 1")
            assert any(ids[i : i + len(inner)] == inner for i in range(len(ids)))
            assert ids == codec.chat_prompt([Message("user", "a mug 1")], continues=continues)


class LearnerConformance:
    """``begin``: a policy as it is at the start of a run; its sampler must follow the learner."""

    def test_a_score_is_zero_outside_the_actions(self, begin: Begin) -> None:
        policy = begin()
        rows = sequences(converse(policy.sampler))
        for row, score in zip(rows, policy.learner.score(rows), strict=True):
            assert len(score.logprobs) == len(score.entropies) == len(row)
            assert not score.logprobs[~row.action_mask].any()
            assert not score.entropies[~row.action_mask].any()

    def test_an_update_reports_what_it_did(self, begin: Begin) -> None:
        policy = begin()
        rows = sequences(converse(policy.sampler))
        metrics = policy.learner.update(rows, SETTINGS, seed=0)
        assert metrics.optimizer_steps == SETTINGS.minibatches(len(rows)) > 1
        assert metrics.tokens == sum(int(row.action_mask.sum()) for row in rows)
        assert all(math.isfinite(v) for v in (metrics.loss, metrics.kl, metrics.entropy, metrics.gradient_norm))

    def test_continuing_from_a_checkpoint_is_never_having_stopped(self, begin: Begin, tmp_path: Path) -> None:
        policy = begin()
        rows = sequences(converse(policy.sampler))
        policy.learner.update(rows, SETTINGS, seed=0)
        policy.learner.save(tmp_path / "middle")
        resumed = begin()
        resumed.learner.load(tmp_path / "middle")
        resumed.learner.save(tmp_path / "again")
        assert _bytes(tmp_path / "again") == _bytes(tmp_path / "middle")
        for name, each in (("a", policy), ("b", resumed)):
            each.learner.update(rows, SETTINGS, seed=1)
            each.learner.save(tmp_path / name)
        assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b") != _bytes(tmp_path / "middle")
        assert same(converse(policy.sampler), converse(resumed.sampler))

    def test_the_sampler_follows_the_learner(self, begin: Begin, tmp_path: Path) -> None:
        """After an update what is sampled has the learner's log-probs, and after going back it is what it was."""
        policy = begin()
        policy.learner.save(tmp_path)
        first = converse(policy.sampler)
        policy.learner.update(sequences(first), SETTINGS.model_copy(update={"learning_rate": 0.01}), seed=0)
        rows = sequences(converse(policy.sampler))
        for row, score in zip(rows, policy.learner.score(rows), strict=True):
            np.testing.assert_allclose(score.logprobs, row.behaviour_logprobs, atol=5e-5)
        policy.learner.load(tmp_path)
        assert same(converse(policy.sampler), first)

    def test_a_missing_or_damaged_checkpoint_is_named(self, begin: Begin, tmp_path: Path) -> None:
        policy = begin()
        with pytest.raises(MissingCheckpoint, match="nowhere"):
            policy.learner.load(tmp_path / "nowhere")
        policy.learner.update(sequences(converse(policy.sampler)), SETTINGS, seed=0)
        policy.learner.save(tmp_path / "cut")
        for file in _files(tmp_path / "cut"):
            if file.suffix == ".safetensors" or file.name == "weights.json":
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(MissingCheckpoint, match="cut"):
            policy.learner.load(tmp_path / "cut")


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.is_file())
