"""A run is called by the model that it trains, also where only the folder was changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.configure.compose import compose

SMALL = {"model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96}
QWEN = SMALL | {"hidden_size": 1536, "num_hidden_layers": 28, "intermediate_size": 8960}  # Qwen2.5-1.5B's


@pytest.mark.parametrize(
    ("repository", "name"),
    [("Qwen/Qwen2.5-0.5B-Instruct", "qwen2.5-0.5b"), ("Qwen/Qwen2.5-1.5B-Instruct", "qwen2.5-1.5b")],
)
def test_a_plan_of_another_known_model_is_called_by_it(repository: str, name: str) -> None:
    experiment = compose(["scale=single", f"model.pretrained={repository}"]).experiment
    assert experiment.model.name == name


def test_a_folder_has_one_name_however_it_is_spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it lies as its repository is called."""
    folder = tmp_path / "Qwen" / "Qwen2.5-0.5B-Instruct"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(SMALL))
    monkeypatch.chdir(tmp_path)
    for spelled in ("Qwen/Qwen2.5-0.5B-Instruct", str(folder)):
        assert compose(["scale=single", f"model.pretrained={spelled}"]).experiment.model.name == folder.name


@pytest.mark.parametrize(
    ("folder", "sizes", "more", "name"),
    [
        ("SmolLM2", SMALL, [], "SmolLM2"),
        ("mine", QWEN, [], "qwen2.5-1.5b"),
        ("mine", QWEN, ["model=qwen2.5_0.5b"], "mine"),
        ("mine", SMALL, ["model.name=first-try"], "first-try"),
        ("mine", SMALL, ["model.weights=stand_in", "warm_start=null"], "qwen2.5-1.5b"),
        ("models--org--Small-1B/snapshots/0a1b2c", SMALL, [], "Small-1B"),
        ("checkpoint-3/model", SMALL, [], "checkpoint-3"),
        ("broken", None, [], "qwen2.5-1.5b"),
    ],
)
def test_the_name_is_the_models(
    tmp_path: Path, folder: str, sizes: dict[str, object] | None, more: list[str], name: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "config.json").write_text("{" if sizes is None else json.dumps(sizes))
    experiment = compose(["scale=single", f"model.pretrained={tmp_path / folder}", *more]).experiment
    assert experiment.model.name == name
    assert experiment.cell == f"single-alfworld-{name}-grpo-full"
