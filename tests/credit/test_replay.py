"""``python -m flows.credit replay``: any method over the rollouts that a finished run left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.credit.__main__ import main
from pipelines.files import read_json, sha256_file, write_json
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.run_folder import run_folder
from tests.flows.test_command_line import HEAVY
from tests.pipelines.runs import small_config, small_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory)


@pytest.fixture
def replay(finished: Path, tmp_path: Path) -> list[str]:
    """The command, without what is asked."""
    folders = [f"out={tmp_path / 'out'}", f"execution.artifacts={finished / 'artifacts'}", "execution.progress=false"]
    return ["replay", str(run_folder(small_config(finished))), *folders]


def test_the_method_that_ran_gives_the_very_bytes_it_trained_on(
    finished: Path, replay: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*replay, "estimators=rloo,grpo", "modulators=full,off"]) == 0
    table = pq.read_table(tmp_path / "out" / "credit.parquet")
    assert table.column_names == [
        "iteration", "task_id", "group", "member", "step", "rloo-full", "rloo-off", "grpo-full", "grpo-off"
    ]  # fmt: skip
    stored = {}
    for record in (finished / "artifacts" / "advantage").glob("*/record.json"):
        rollout = json.loads(record.read_text())["inputs"]["rollout"]
        played = json.loads((finished / "artifacts" / "rollout" / rollout[:20] / "record.json").read_text())
        stored[played["values"]["iteration"]] = pq.read_table(record.parent / "advantages.parquet")
    assert sorted(stored) == [0, 1]
    for i, own in stored.items():
        rows = table.filter(np.equal(table["iteration"].to_numpy(), i))
        assert rows["grpo-full"].to_numpy().tobytes() == own["A_final"].to_numpy().tobytes()
        assert rows["grpo-off"].to_numpy().tolist() == own["A"].to_numpy().astype(np.float32).tolist()
        assert (
            rows.select(["group", "member", "step"]).to_pylist() == own.select(["group", "member", "step"]).to_pylist()
        )
    assert f"{table.num_rows} of {table.num_rows}" in capsys.readouterr().out


def test_a_folder_with_the_agreement_and_the_settings(replay: list[str], tmp_path: Path) -> None:
    """All methods that the records allow; the run's own settings but for what the command sets."""
    assert main([*replay, "modulators=full", "empg.zeta=0.3", "grpo.eps=0.1", "iterations=1"]) == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "agreement.csv", "agreement.md", "agreement.pdf", "agreement.png", "agreement.svg", "credit.parquet", "replay.html",
        "replay.json",
    ]  # fmt: skip
    methods = json.loads((out / "replay.json").read_text())["methods"]
    assert methods["grpo-full"]["estimator"] == {"name": "grpo", "eps": 0.1}
    assert methods["gigpo-full"]["modulator"]["zeta"] == 0.3
    assert "otb-full" in methods
    pairs = (out / "agreement.csv").read_text().splitlines()[1:]
    assert len(pairs) == len(methods) * (len(methods) - 1) // 2
    assert set(pq.read_table(out / "credit.parquet")["iteration"].to_pylist()) == {1}


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        ([], 2, "replay"),
        (["repaly"], 2, "repaly"),
        (["replay"], 2, "runs/<cell>"),
        (["RUN", "estimators=grpo,gppo"], 2, "gppo"),
        (["RUN", "modulators=empg"], 2, "full"),
        (["RUN", "estimatrs=grpo"], 2, "estimators"),
        (["RUN", "grpo.eps=-1"], 2, "grpo.eps = '-1'"),
        (["RUN", "grpo.epsilon=1"], 2, "grpo.epsilon"),
        (["RUN", "estimators=grpo", "gigpo.gamma=.9"], 2, "estimators="),
        (["RUN", "estimators=gigpo", "gigpo.name=grpo"], 2, "gigpo.name"),
        (["RUN", "modulators=off", "aem.lam=2"], 2, "modulators="),
        (["oracle", "runs/x/seed0", "gigpo.gamma=.9"], 2, "gigpo.gamma"),
        (["RUN", "iterations=0,2"], 2, "0 to 1"),
        (["replay", "nowhere"], 1, "nowhere is no run"),
        (["RUN", "execution.artifacts=elsewhere"], 1, "execution.artifacts"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    finished: Path, arguments: list[str], code: int, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[:1] == ["RUN"]:
        store = f"execution.artifacts={finished / 'artifacts'}"
        arguments = ["replay", str(run_folder(small_config(finished))), store, *arguments[1:]]
    assert main(arguments) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_a_rollout_that_is_gone_is_reported(
    finished: Path, replay: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "artifacts"
    shutil.copytree(finished / "artifacts", store, symlinks=True)
    first = min((store / "rollout").glob("[!.]*"))
    shutil.rmtree(first)
    assert main([*replay, f"execution.artifacts={store}"]) == 1
    assert first.name in capsys.readouterr().err


def test_a_run_that_recorded_no_states_is_one_line(
    finished: Path, replay: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As made before they were: the line names the folder and the column."""
    store = tmp_path / "artifacts"
    shutil.copytree(finished / "artifacts", store, symlinks=True)
    for path in (store / "rollout").glob("[!.]*/record.json"):
        steps, record = path.parent / "steps.parquet", read_json(path)
        pq.write_table(pq.read_table(steps).drop_columns(["state_before"]), steps)
        del record["seal"]  # older records have none
        record["files"][steps.name] = {"sha256": sha256_file(steps), "bytes": steps.stat().st_size}
        write_json(path, record)
    for command in (replay, ["oracle", *replay[1:]]):
        assert main([*command, f"execution.artifacts={store}"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert str(store / "rollout") in line
        assert "made before state_before was recorded" in line


def test_help_and_mistakes_load_nothing_heavy(replay: list[str]) -> None:
    heavy = ", ".join(f"{name!r}" for name in HEAVY)
    code = (
        "import sys; from flows.credit.__main__ import main; code = main(sys.argv[1:]);"
        f"sys.exit(code if not {{{heavy}}} & sys.modules.keys() else 9)"
    )
    for arguments, expected in (["--help"], 0), ([*replay, "estimators=x"], 2):
        found = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        assert found.returncode == expected, found.stderr


def test_the_state_is_the_runs_unless_the_command_says_another(
    finished: Path, replay: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gigpo = [*replay, "estimators=gigpo", "modulators=off", "gigpo.weight=9"]
    for state in ("observation", "history"):
        assert main([*gigpo, f"credit.state={state}", f"out={tmp_path / state}"]) == 0
    settings = json.loads((tmp_path / "history" / "replay.json").read_text())
    assert '"history"' in json.dumps(settings)
    assert main([*gigpo, "credit.state=half"]) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in ("credit.state", "half", "engine"))
    run, folders = replay[1], [part for part in replay if part.startswith("execution.artifacts")]
    assert main(["states", run, *folders, "credit.history=3", "iterations=1"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("observation", "history 3", "engine"))


def test_what_the_policy_did_not_record_is_left_out_or_said(
    replay: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalPolicyConfig, "records", ())
    assert main([*replay, "modulators=off"]) == 0
    assert "otb-off" not in pq.read_table(tmp_path / "out" / "credit.parquet").column_names
    assert "squared_score_N" in (tmp_path / "out" / "agreement.md").read_text()
    capsys.readouterr()
    assert main([*replay, "estimators=otb"]) == 2
    assert "squared_score_N" in capsys.readouterr().err
