"""``python -m flows.credit oracle``: on a genuine run, under checkpoints that were pruned; resumable, the same bytes again."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.credit.__main__ import main
from flows.credit.oracle import cost_lines
from pipelines.artifacts import Artifact
from pipelines.credit.costs import Cost, seconds_a_step
from pipelines.credit.lineage import Iteration, Lineage
from pipelines.files import read_json, sha256_file, write_json
from pipelines.run_folder import run_folder
from tests.flows.first_launch import with_prefect
from tests.pipelines.runs import digests, small_config, small_run
from tests.tracking.databases import with_mlflow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run's folder; its store is beside it."""
    made = small_run(tmp_path_factory)
    root = tmp_path_factory.mktemp("oracle") / "own"
    shutil.copytree(made, root, symlinks=True)
    return run_folder(small_config(root))


@pytest.fixture
def pages(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: Prefect's and MLflow's files come into it."""
    (folder := tmp_path / "pages").mkdir()
    with_mlflow(folder, tmp_path_factory)
    monkeypatch.chdir(with_prefect(folder, tmp_path_factory))
    return folder


@pytest.fixture
def oracle(run: Path, tmp_path: Path) -> list[str]:
    """The command, without its numbers."""
    store = run.parents[2] / "artifacts"
    return ["oracle", str(run), f"execution.artifacts={store}", "execution.progress=false", f"out={tmp_path}"]


@pytest.mark.timeout(900)  # with the first launch, where nothing had needed it before
def test_steps_are_measured_under_the_checkpoint_that_played_and_the_command_continues(
    run: Path, oracle: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], pages: Path
) -> None:
    """Iteration 1 was played by the first update's weights, which were pruned: they are made again. The second time Prefect and MLflow
    show it."""
    numbers, root = ["iterations=1", "steps=3", "continuations=4"], run.parents[2]
    before = set(digests(root))
    assert main([*oracle, *numbers, "plan=true"]) == 0
    assert set(digests(root)) == before
    assert "3 steps of 2 tasks" in capsys.readouterr().out
    assert main([*oracle, *numbers, "pages=false"]) == 0
    table = pq.read_table(tmp_path / "oracle.parquet")
    value = {name: table[name].to_numpy() for name in table.column_names}
    assert table.num_rows == 3
    np.testing.assert_allclose(value["A"], value["Q"] - value["V"], atol=1e-12)
    np.testing.assert_allclose(value["A_first"] + value["A_second"], 2 * value["A"], atol=1e-12)
    assert (value["V_se"] >= 0).all()
    assert ((value["A_low"] <= value["A"]) & (value["A"] <= value["A_high"])).all()
    kept = digests(root)
    parts = sorted((root / "artifacts" / "continuations").glob("[!.]*"))
    played = [read_json(part / "record.json") for part in parts]
    assert {record["inputs"]["policy"] for record in played} == {_played_by(root)}
    assert sum(len(record["values"]["prefixes"]) for record in played) == len(
        parts
    )  # as many rows as the run's rollouts
    shutil.rmtree(parts[-1])
    bytes_before = (tmp_path / "oracle.parquet").read_bytes()
    assert main([*oracle, *numbers]) == 0
    assert (tmp_path / "oracle.parquet").read_bytes() == bytes_before
    assert digests(root) == kept
    _shown(pages, run)
    _scored(run, oracle, tmp_path)


def _shown(folder: Path, run: Path) -> None:
    """A flow run whose tasks are the parts, and metrics on the run's own record."""
    with sqlite3.connect(folder / ".prefect" / "prefect.db") as database:
        asked = "select id, name, state_type from flow_run where name like '%oracle'"
        ((own, *shown),) = database.execute(asked).fetchall()
        tasks = {name for (name,) in database.execute("select name from task_run where flow_run_id = ?", (own,))}
    assert shown == [f"{run.parent.name}/{run.name} oracle", "COMPLETED"]
    assert tasks == {"continuations 1"}
    with sqlite3.connect(folder / "mlflow.db") as database:
        logged = dict(database.execute("select key, step from metrics").fetchall())
    assert logged["oracle/V"] == 2


def _scored(run: Path, oracle: list[str], folder: Path) -> None:
    """What the same oracle says of methods: of each iteration, and of all by group size; then the report of it."""
    out, own = folder / "scores", [*oracle[1:-1], f"oracle={folder}"]
    score = ["score", *own, f"out={out}", "estimators=grpo,gigpo", "modulators=off"]
    assert main(["gradients", *own]) == 0
    products = np.load(folder / "products.npz")["products"]
    np.testing.assert_array_equal(products, products.T)
    assert (np.diag(products) > 0).all()
    assert main([*score, "sizes=2"]) == 0
    rows = [line.split(",") for line in (out / "scores.csv").read_text().splitlines()[1:]]
    assert {(row[0], row[1]) for row in rows} == {("1", "all"), ("all", "2"), ("all", "all")}
    one, all_of_one = ([row[2:] for row in rows if row[:2] == [i, "all"]] for i in ("1", "all"))
    assert one == all_of_one
    assert main(["report", str(out), f"out={folder / 'report'}"]) == 0
    assert "gigpo-off" in (folder / "report" / "report.html").read_text("utf-8")
    assert main(["report", str(folder / "nowhere")]) == 1
    assert main([*score, "sizes=3"]) == 2
    assert main([*score, f"oracle={out}"]) == 1
    pq.write_table(pq.read_table(folder / "oracle.parquet"), folder / "oracle.parquet", compression="none")
    assert main([*score]) == 1
    shutil.copy(folder / "oracle.json", out)
    pq.write_table(pq.read_table(folder / "oracle.parquet").drop_columns(["A_low"]), out / "oracle.parquet")
    assert main([*score, f"oracle={out}"]) == 1


def _played_by(root: Path) -> str:
    """The weights that the second rollout's record names."""
    records = [read_json(path) for path in (root / "artifacts" / "rollout").glob("[!.]*/record.json")]
    (policy,) = (record["inputs"]["policy"] for record in records if record["values"]["iteration"] == 1)
    return str(policy)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("continuations=5", "continuations=5"), ("continuations=2", "continuations=2"), ("steps=0", "steps=0"),
        ("seed=x", "seed=x"), ("plan=yes", "plan=yes"), ("iterations=2", "0 to 1"), ("estimators=grpo", "estimators"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    oracle: list[str], arguments: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*oracle, arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_the_cost_is_reported_by_hand() -> None:
    """6,400 steps at a fiftieth of a second: 128 s."""
    lines = cost_lines({0: Cost(200, 16, 300, 6400.0, 900.0)}, 32, 0.02)
    assert "300 prefixes × 32" in lines[0]
    assert "about 2 min" in lines[1]
    assert "not known" in cost_lines({}, 32, None)[-1]


def test_the_pace_leaves_evaluations_out(tmp_path: Path) -> None:
    """A rollout of 20 steps, written 70 s after its checkpoint and 10 s after that one's evaluation: half a second a step. An
    evaluation that came later says nothing."""
    policy, last = (_written(tmp_path / "update" / name, at) for name, at in (("1", 30), ("2", 200)))
    rollout = _written(tmp_path / "rollout" / "1", 100, {"rollout/episodes": 4, "rollout/steps": 5})
    for name, of, at in (("a", "1", 90), ("b", "1", 150), ("c", "other", 99)):
        _written(tmp_path / "evaluate" / name, at, {}, {"inputs": {"policy": of}})
    first = Iteration(rollout, rollout, rollout, policy)
    run = Lineage(policy, (first, Iteration(policy, rollout, rollout, last)))
    assert seconds_a_step(run) == pytest.approx(0.5)


def _written(folder: Path, at: float, metrics: dict[str, float] | None = None, record: object = None) -> Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", metrics or {})
    write_json(folder / "record.json", record or {})
    os.utime(folder / "metrics.json", (1e9 + at, 1e9 + at))
    files = {"metrics.json": {"sha256": sha256_file(folder / "metrics.json")}}
    return Artifact(folder.parent.name, folder.name, folder, files)
