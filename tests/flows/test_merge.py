"""A run of an adapter: its checkpoints hold that alone, an evaluation plays it, a command makes a model of it, and it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from flows import evaluate, merge
from pipelines.archive import archive_run
from pipelines.config import RunConfig
from pipelines.experiment import run_experiment
from pipelines.run_folder import run_folder
from tests.once import made_once
from tests.pipelines.runs import Quiet, digests, small_config

LORA = {"name": "lora", "rank": 2, "alpha": 6.0, "targets": ["q_proj", "up_proj"]}
QUIET = ["execution.progress=false"]


def config(root: Path) -> RunConfig:
    return small_config(root, "deepsearch", training__adapter=LORA, training__learning_rate=0.05)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a finished run and its store."""
    made = made_once(tmp_path_factory, "adapted", lambda root: run_experiment(config(root), Quiet()))
    own = tmp_path_factory.mktemp("adapted") / "own"
    shutil.copytree(made, own, symlinks=True)
    return own


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(root)
    return run_folder(config(root))


def last(root: Path) -> Path:
    """The last checkpoint; the one before was pruned."""
    (config,) = (root / "artifacts" / "update").glob("*/adapter/adapter_config.json")
    return config.parents[1]


def test_a_checkpoint_holds_the_adapter_alone_and_no_evaluation_misses_the_model(
    run: Path, root: Path, tmp_path: Path
) -> None:
    """The same tasks, dice and prompts: the merged model plays what the run's last evaluation played."""
    names = {path.relative_to(last(root)).as_posix() for path in last(root).rglob("*") if path.is_file()}
    adapter = {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
    assert names == adapter | {"optimizer.safetensors", "metrics.json", "record.json"}
    for name in ("run", "checkpoint"):
        what = {
            "run": [f"checkpoint={run}"],
            "checkpoint": [f"checkpoint={last(root)}", "benchmark=deepsearch", "plan=true"],
        }
        assert evaluate.main([*what[name], *QUIET, *([f"out={tmp_path / name}"] if name == "run" else [])]) == 0
    rows = played(run / "results")
    assert played(tmp_path / "run") == [row for row in rows if row.pop("iteration") == 2]
    assert len(list((root / "artifacts" / "merged").glob("[!.]*"))) == 1


def played(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "evaluations.parquet").to_pylist()
    return rows


def test_the_run_goes_on_from_what_there_is(root: Path, tmp_path: Path) -> None:
    """Its last update lost, it is made again, with the same bytes."""
    shutil.copytree(root, tmp_path / "again", symlinks=True)
    before = digests(tmp_path / "again")
    for lost in (last(tmp_path / "again"), *(tmp_path / "again").rglob("results")):
        shutil.rmtree(lost)
    run_experiment(config(tmp_path / "again"), Quiet())
    assert digests(tmp_path / "again") == before


@pytest.mark.parametrize("by", ["run", "checkpoint", "adapter"])
def test_a_model_of_its_own(by: str, run: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """W + 6/2 · B A by hand, where there is a change; all else as the warm start had it."""
    (base,) = (root / "artifacts" / "warm_start").glob("*/model")
    checkpoint = {"run": run, "checkpoint": last(root), "adapter": last(root) / "adapter"}[by]
    assert merge.main([f"checkpoint={checkpoint}", f"out={tmp_path / 'model'}"]) == 0
    assert capsys.readouterr().out == f"written: {tmp_path / 'model'}\n"
    assert {p.name for p in (tmp_path / "model").iterdir()} == {p.name for p in base.iterdir()}
    first, merged = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "model"))
    change = load_file(last(root) / "adapter" / "adapter_model.safetensors")
    for name, weight in first.items():
        a, b = (change.get(f"base_model.model.{name.removesuffix('.weight')}.lora_{x}.weight") for x in "AB")
        expected = weight if a is None or b is None else weight + 3.0 * b @ a
        assert (merged[name] - expected).abs().max() < 1e-6, name
        assert (a is None) == merged[name].equal(weight), name


def test_an_archive_has_the_adapter_and_its_model(run: Path, root: Path, tmp_path: Path) -> None:
    archive_run(run, root / "artifacts", tmp_path / "kept")
    there = {path.name for path in (tmp_path / "kept" / "checkpoint").iterdir()}
    assert there == {"adapter_config.json", "adapter_model.safetensors"}
    assert (tmp_path / "kept" / "base" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["out=new"], 2, ("checkpoint=<folder> is missing",)),
        (["checkpoint=RUN"], 2, ("out=<folder> is missing",)),
        (["checkpoint=RUN", "out=new", "bas=x"], 2, ("cannot read bas=x", "base=")),
        (["checkpoint=RUN", "out=artifacts"], 2, ("out=artifacts is there already",)),
        (["checkpoint=nowhere", "out=new"], 1, ("checkpoint=nowhere",)),
        (["checkpoint=RUN", "out=new", "base=runs"], 2, ("base=runs is no model folder",)),
        (["checkpoint=BASE", "out=new"], 2, ("holds a whole model", "nothing to merge")),
        (["checkpoint=MOVED", "out=new"], 1, ("base=<the model's folder>",)),
        (["checkpoint=OTHER", "base=BASE", "out=new"], 1, ("other changes", "of another model")),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str],
    code: int,
    parts: tuple[str, ...],
    run: Path,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (base,) = (root / "artifacts" / "warm_start").glob("*/model")
    for name in ("moved", "other"):
        shutil.copytree(last(root) / "adapter", tmp_path / name)
    tensors = load_file(tmp_path / "other" / "adapter_model.safetensors")
    save_file(
        {k.replace("layers.0.", "layers.9."): v for k, v in tensors.items()},
        tmp_path / "other" / "adapter_model.safetensors",
    )
    named = {"RUN": run, "BASE": base, "MOVED": tmp_path / "moved", "OTHER": tmp_path / "other"}
    given = [a.replace("=", "=", 1) for a in arguments]
    for word, path in named.items():
        given = [argument.replace(word, str(path)) for argument in given]
    assert merge.main(given) == code
    (line,) = capsys.readouterr().err.splitlines()
    for part in parts:
        assert part in line, line
    assert not (root / "new").exists()
