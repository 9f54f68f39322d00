"""Products of gradients: transformers' pass against the local policy's own, on steps of a genuine run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.artifacts import ArtifactStore
from pipelines.credit import gradients
from pipelines.credit.gradients import score_products, step_row
from pipelines.credit.lineage import Iteration, finished_run, lineage
from pipelines.credit.products import read_products, write_products
from pipelines.errors import ConfigError, DataError
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.engine import open_engine
from pipelines.policies.local.scoring import Scorer, collate
from pipelines.records import TrainingSequence
from pipelines.run_folder import run_folder
from pipelines.stages.reading import read_rollout
from tests.pipelines.runs import small_config, small_run


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iteration:
    root = small_run(tmp_path_factory)
    info = finished_run(run_folder(small_config(root)))
    return lineage(info, ArtifactStore(root / "artifacts")).iterations[0]


@pytest.fixture(scope="module")
def rows(first: Iteration) -> list[TrainingSequence]:
    t = max(read_rollout(first.rollout).batch(), key=lambda t: len(t.steps))
    return [step_row(t, step) for step in (0, 1, len(t.steps) - 1)]


def test_a_step_is_its_own_tokens_behind_what_the_policy_saw(first: Iteration) -> None:
    t = max(read_rollout(first.rollout).batch(), key=lambda t: len(t.steps))
    for number, step in enumerate(t.steps):
        row = step_row(t, number)
        assert row.token_ids[row.action_mask].tolist() == step.action_ids.tolist()
        assert row.action_mask[-1]
        assert row.token_ids[~row.action_mask][-len(step.prompt_ids) :].tolist() == step.prompt_ids.tolist()


def test_products_are_those_of_the_policys_own_pass(first: Iteration, rows: list[TrainingSequence]) -> None:
    model = first.policy.tree("model")
    products = score_products(model, rows, temperature=0.7)
    engine = open_engine(model, LocalPolicyConfig(device="cpu"))
    weights, scorer, found = list(engine.named.values()), Scorer(engine, 0.7), []
    for row in rows:
        logprobs, _ = scorer.token_logprobs(collate([row], engine.device))
        found.append(torch.cat([part.flatten() for part in torch.autograd.grad(logprobs.sum(), weights)]))
    own = torch.stack(found).double()
    np.testing.assert_allclose(products, (own @ own.T).numpy(), rtol=2e-3, atol=1e-3 * products.max())
    assert (np.diag(products) > 0).all()


def test_a_model_that_is_too_large_is_said(
    first: Iteration, rows: list[TrainingSequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "MOST_BYTES", 1000)
    with pytest.raises(ConfigError, match="gradients of 3 steps in"):
        score_products(first.policy.tree("model"), rows, temperature=1.0)


def test_the_file_is_of_one_oracle(tmp_path: Path) -> None:
    assert read_products(tmp_path) is None
    table = tmp_path / "oracle.parquet"
    table.write_text("one")
    write_products(tmp_path, np.eye(2))
    before = (tmp_path / "products.npz").read_bytes()
    assert (read_products(tmp_path) == np.eye(2)).all()
    write_products(tmp_path, np.eye(2))
    assert (tmp_path / "products.npz").read_bytes() == before
    table.write_text("another")
    with pytest.raises(DataError, match="another oracle"):
        read_products(tmp_path)
    (tmp_path / "products.npz").write_text("no archive")
    with pytest.raises(DataError, match="cannot be read"):
        read_products(tmp_path)
