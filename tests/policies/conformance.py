"""What every policy must keep. A test class inherits ``PolicyConformance``, or ``GenerationConformance`` when its policy
only generates, and provides the fixture ``make``."""

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
from pipelines.protocols import Message, Policy, SamplingSettings
from tests.policies.play import converse, same, sequences

SETTINGS = UpdateSettings(learning_rate=1e-3, minibatch_size=2, kl_coefficient=0.01, entropy_coefficient=0.001)
Make = Callable[[], Policy]
_FIXTURE_STAYS = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    deadline=None,
    max_examples=60,
    derandomize=True,
)


class GenerationConformance:
    """The half of the kit that asks for no training."""

    vocabulary: int  # the entropies' bound is its logarithm

    @pytest.mark.parametrize("growing", [True, False], ids=["one growing context", "a fresh context each turn"])
    def test_a_generation_is_well_formed(self, make: Make, growing: bool) -> None:
        policy = make()
        for conversation in converse(policy, growing=growing):
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
                if not np.isnan(g.entropies).all():  # exact, or absent
                    assert (g.entropies >= 0).all()
                    assert (g.entropies <= math.log(self.vocabulary) + 1e-5).all()
                ids, ends = g.action_ids.tolist(), policy.codec.ends
                assert not ends & set(ids[:-1])
                assert m == 9 or ids[-1] in ends
                assert g.text == policy.codec.message(ids)

    def test_the_seed_decides(self, make: Make) -> None:
        first, again, other = (converse(make(), seed=seed) for seed in (0, 0, 5))
        assert same(first, again)
        assert not same(first, other)

    def test_a_second_rollout_of_the_same_policy_is_the_same(self, make: Make) -> None:
        policy = make()
        assert same(converse(policy), converse(policy))

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


class PolicyConformance(GenerationConformance):
    """The whole kit."""

    def test_a_score_is_zero_outside_the_actions(self, make: Make) -> None:
        policy = make()
        rows = sequences(converse(policy))
        for row, score in zip(rows, policy.score(rows), strict=True):
            assert len(score.logprobs) == len(score.entropies) == len(row)
            assert not score.logprobs[~row.action_mask].any()
            assert not score.entropies[~row.action_mask].any()

    def test_an_update_reports_what_it_did(self, make: Make) -> None:
        policy = make()
        rows = sequences(converse(policy))
        metrics = policy.update(rows, SETTINGS, seed=0)
        assert metrics.optimizer_steps == SETTINGS.minibatches(len(rows)) > 1
        assert metrics.tokens == sum(int(row.action_mask.sum()) for row in rows)
        assert all(math.isfinite(v) for v in (metrics.loss, metrics.kl, metrics.entropy, metrics.gradient_norm))

    def test_continuing_from_a_checkpoint_is_never_having_stopped(self, make: Make, tmp_path: Path) -> None:
        policy = make()
        rows = sequences(converse(policy))
        policy.update(rows, SETTINGS, seed=0)
        policy.save(tmp_path / "middle")
        resumed = make()
        resumed.load(tmp_path / "middle")
        for name, each in (("a", policy), ("b", resumed)):
            each.update(rows, SETTINGS, seed=1)
            each.save(tmp_path / name)
        assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b") != _bytes(tmp_path / "middle")
        assert same(converse(policy), converse(resumed))

    def test_a_missing_or_damaged_checkpoint_is_named(self, make: Make, tmp_path: Path) -> None:
        policy = make()
        with pytest.raises(MissingCheckpoint, match="nowhere"):
            policy.load(tmp_path / "nowhere")
        policy.update(sequences(converse(policy)), SETTINGS, seed=0)
        policy.save(tmp_path / "cut")
        for file in _files(tmp_path / "cut"):
            if file.suffix == ".safetensors" or file.name == "weights.json":
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(MissingCheckpoint, match="cut"):
            policy.load(tmp_path / "cut")


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.is_file())
