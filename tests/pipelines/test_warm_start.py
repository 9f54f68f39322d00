"""The warm start of a pretrained model: episodes of the expert's in its own chat format, the loss on answers alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from flows.configure.compose import compose
from pipelines.config import ExperimentConfig, PretrainedWarmStart, RunConfig, StandIn
from pipelines.config.views import PlayingView, WarmStartView
from pipelines.errors import ConfigError
from pipelines.experiment import evaluate_model
from pipelines.files import read_json
from pipelines.policies import codec, make_stand_in
from pipelines.policies.local.imitation import _how, rate_at
from pipelines.records import DemoSequence
from pipelines.stages import warm_start as stage
from tests.environments.fake import CountDownBenchmark
from tests.pipelines.runs import small_config

EPISODES = {"episodes": 11, "batch_tokens": 64, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that somebody else made, as far as the platform knows."""
    out = tmp_path_factory.mktemp("pretrained")
    shape = StandIn(hidden_size=32, layers=1, heads=1, kv_heads=1, mlp=32, context_length=4096)
    make_stand_in(shape, CountDownBenchmark().corpus(out), out)
    return out


def config(root: Path, folder: Path, **overrides: Any) -> RunConfig:
    model = {"model__weights": "pretrained", "model__pretrained": str(folder), "warm_start": EPISODES}
    return small_config(root, "deepsearch", **model | {"training__iterations": 0} | overrides)


def shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, longest: int | None = None, **settings: Any
) -> list[DemoSequence]:
    """What the imitation is given of the counting down, one of whose games is played six times in six."""
    rows: list[DemoSequence] = []

    def imitate(*what: Any, tokens: int, on_progress: Any) -> dict[str, float]:
        rows.extend(what[2])
        assert tokens == sum(len(row.token_ids) for row in rows)
        return {}

    monkeypatch.setattr(stage, "imitate", imitate)
    benchmark = CountDownBenchmark()
    view = WarmStartView.model_construct(
        settings=PretrainedWarmStart(**EPISODES | settings), context_length=longest, playing=None
    )
    panel = benchmark.panels(folder)["train"]
    stage.warm_start(view, benchmark, panel, folder, model=folder, out=folder, workers=1, on_progress=lambda *_: None)
    return rows


def test_as_many_episodes_as_asked_for_with_the_loss_on_answers_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven episodes in transcripts of one to three turns: a pass over the six games (two of each length) and five of the
    next one. What weighs, read back, is what the expert said with its ends."""
    rows, tokens = shown(folder, monkeypatch), codec(folder)
    assert len(rows) == 11
    end = tokens.decode([tokens.end_of_message])
    said = [tokens.decode(row.token_ids[row.weights > 0].tolist()) for row in rows]
    assert {text.replace(f"down{end}", "") for text in said} == {""}
    lengths = sorted(text.count(end) for text in said)
    assert lengths.count(1) + lengths.count(2) + lengths.count(3) == 11
    assert min(map(lengths.count, (1, 2, 3))) >= 3
    assert all(set(np.unique(row.weights)) == {0.0, 1.0} for row in rows)
    again = shown(folder, monkeypatch)
    assert [row.token_ids.tolist() for row in again] == [row.token_ids.tolist() for row in rows]
    other = shown(folder, monkeypatch, seed=1)
    assert [row.token_ids.tolist() for row in other] != [row.token_ids.tolist() for row in rows]


def test_demonstrations_that_no_rollout_could_hold_are_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    every = [len(row.token_ids) for row in shown(folder, monkeypatch)]
    assert capsys.readouterr().err == ""
    lengths = sorted(set(every))
    assert {len(row.token_ids) for row in shown(folder, monkeypatch, lengths[1])} == set(lengths[:2])
    out = sum(length > lengths[1] for length in every)
    assert f"warning: {out} of 11 demonstrations are longer than " in capsys.readouterr().err
    with pytest.raises(ConfigError, match=rf"max_context_tokens.*={lengths[0] - 1} tokens"):
        shown(folder, monkeypatch, lengths[0] - 1)


def test_the_learning_rate_rises_and_falls() -> None:
    """Of 1,000 tokens, 100 of each step, a fifth warms up: after 100 tokens half of 1e-3 · 1, after 200 all of 1e-3 · .9;
    before the last step, 1e-3 · .1. A stand-in's only falls."""
    settings = PretrainedWarmStart(episodes=1, learning_rate=1e-3, warm_up=0.2)
    assert [rate_at(settings, seen, 100, 1000) for seen in (0, 100, 900)] == pytest.approx([5e-4, 9e-4, 1e-4])
    without = settings.model_copy(update={"warm_up": 0.0})
    assert rate_at(without, 0, 100, 1000) == 1e-3


def test_a_run_trains_a_pretrained_model_from_it(tmp_path: Path, folder: Path) -> None:
    """The store finds it again; the model's own files go with it."""
    heard: list[tuple[str, float]] = []
    evaluate_model(config(tmp_path, folder), lambda *said: heard.append(said))
    assert [done for what, done in heard if what == "warm start"][-1] == 1.0
    (made,) = (tmp_path / "artifacts" / "warm_start").glob("[!.]*")
    assert read_json(made / "metrics.json")["warm_start/steps"] > 1
    names = {path.name for path in (made / "model").iterdir()}
    assert names == {path.name for path in folder.iterdir()}
    weights = (made / "model" / "model.safetensors").read_bytes()
    assert weights != (folder / "model.safetensors").read_bytes()
    heard.clear()
    evaluate_model(config(tmp_path, folder), lambda *said: heard.append(said))
    assert "warm start" not in {what for what, _ in heard}


def test_an_adapter_is_trained_and_merged(tmp_path: Path, folder: Path) -> None:
    """What comes out is the folder's model with its projections changed and nothing else."""
    from safetensors.torch import load_file

    lora = {**EPISODES, "adapter": {"name": "lora", "rank": 2, "targets": ["q_proj"]}}
    evaluate_model(config(tmp_path, folder, warm_start=lora), lambda *_: None)
    (made,) = (tmp_path / "artifacts" / "warm_start").glob("[!.]*/model/model.safetensors")
    before, after = load_file(folder / "model.safetensors"), load_file(made)
    changed = {name for name, tensor in after.items() if not tensor.equal(before[name])}
    assert changed == {"model.layers.0.self_attn.q_proj.weight"}


def test_its_identity(tmp_path: Path, folder: Path) -> None:
    """The rollout bounds its demonstrations; a stand-in's shape, which is not trained, is no part of it."""

    def values(**overrides: Any) -> dict[str, Any]:
        view = WarmStartView.of(config(tmp_path, folder, **overrides).experiment)
        assert view is not None
        return view.values()

    assert values(model__stand_in__layers=2) == values()
    assert values(rollout__max_context_tokens=100, rollout__max_action_tokens=8)["context_length"] == 108
    for name in PretrainedWarmStart.model_fields.keys() - {"device", "checkpoint_activations"}:
        assert name in values()["settings"]
    playing = PlayingView.of(config(tmp_path, folder).experiment).values()
    assert values()["playing"] == playing


@pytest.mark.parametrize(
    ("weights", "warm_start", "parts"),
    [
        ("pretrained", {"tokens": 9}, ("warm_start.tokens=9", "warm_start=null", "scale=single")),
        ("stand_in", {"episodes": 9}, ("warm_start.episodes=9", "scale=laptop")),
        ("pretrained", {"episodes": 9, "tokens": 8}, ("tokens=8", "episodes=9")),
        ("pretrained", {"episodes": 9, "matrix_optimizer": "muon"}, ("matrix_optimizer",)),
    ],
)
def test_the_settings_of_one_kind_are_refused_by_the_other(
    tmp_path: Path, weights: str, warm_start: dict[str, Any], parts: tuple[str, ...]
) -> None:
    values = config(tmp_path, tmp_path).experiment.model_dump()
    values["model"]["weights"], values["warm_start"] = weights, warm_start
    with pytest.raises(ValidationError) as caught:
        ExperimentConfig.model_validate(values)
    for part in parts:
        assert part in str(caught.value)


def test_it_computes_as_the_policy_does() -> None:
    """Whoever turns to transformers' pass, or keeps off the GPU, is not imitated by another pass or elsewhere."""
    experiment = compose(["scale=single", "policy.engine=transformers", "policy.device=cpu"]).experiment
    assert isinstance(experiment.warm_start, PretrainedWarmStart)
    how = _how(experiment.warm_start)
    assert (how.engine, how.device) == ("transformers", "cpu")
