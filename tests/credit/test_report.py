"""The report on credit: from scorings made by hand to tables, cards, figures and a page."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from empg.credit import ESTIMATORS
from pipelines.credit.report import results
from pipelines.credit.report.cards import cards
from pipelines.credit.report.figures import FIGURES
from pipelines.credit.report.results import read_study
from pipelines.credit.report.tables import BASELINE, document_of
from pipelines.credit.report.write import write_report
from pipelines.errors import DataError
from pipelines.files import write_checksums
from tests.reporting.results import write_run

METHODS = {"grpo-off": 0.1, "gigpo-off": 0.3, "gigpo-full": 0.25}


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    write_scoring(tmp_path / "scores" / "alfworld", tmp_path / "run")
    return tmp_path / "scores"


def write_scoring(folder: Path, run: Path) -> None:
    """Ranks of ``METHODS`` at two iterations and two group sizes, each ± .05; the gradients were not measured."""
    write_run(run, "grpo", "off", 0, {0: [0], 2: [1]}, training={"group_size": 4})
    folder.mkdir(parents=True)
    keys = [("0", "all"), ("5", "all"), ("all", "2"), ("all", "all")]
    rows = [
        (i, size, method, score, value, value - 0.05, value + 0.05)
        for i, size in keys
        for method, value in METHODS.items()
        for score in ("rank", "rank_corrected", "sign", "unexplained", "length_bias")
    ]
    rows += [("all", "all", method, "gradient", None, None, None) for method in METHODS]
    pairs = [
        ("rank", "grpo-off", "gigpo-off", -0.2, -0.3, -0.1, 0.01),
        ("rank", "gigpo-off", "gigpo-full", 0.05, -0.1, 0.2, 1.0),
    ]
    bins = [
        (what, method, b, 6 * (b != 2), *((0.1 * b, 0.1 * b - 0.1, 0.2 * b) if b != 2 else (None, None, None)), 0.1)
        for what, count in (("calibration", 10), ("positions", 5))
        for method in METHODS
        for b in range(count)
    ]
    confidence = [("all", "own", "A", 60, 0.1, 0.0, 0.2), ("all", "next", "A", 50, None, None, None)]
    confidence += [("5", "own", "A", 60, -0.1, -0.2, 0.0)]
    for name, columns, lines in (
        (results.SCORES_CSV, results.SCORE_COLUMNS, rows), (results.DIFFERENCES_CSV, results.DIFFERENCE_COLUMNS, pairs),
        (results.PROFILES_CSV, results.PROFILE_COLUMNS, bins), (results.SIGNALS_CSV, results.SIGNAL_COLUMNS, confidence),
    ):  # fmt: skip
        pd.DataFrame(lines, columns=list(columns)).to_csv(folder / name, index=False)
    steps = [
        {
            "iteration": 0, "task_id": "t", "task_type": "pick", "group": 0, "member": 0, "success": True, "score": 1.0,
            "episode_reward": 1.0, "stop_reason": "success", "prompt": "a room", "step": i, "text": f"go <b>{i}</b>",
            "observation": "you see it", "reward": 0.0, "valid": True, "H": 0.5, **{name: value * i for name, value in METHODS.items()},
        }
        for i in range(3)
    ]  # fmt: skip
    pd.DataFrame(steps).to_parquet(folder / "trajectories.parquet")
    (folder / results.CREDIT_JSON).write_text(json.dumps(_about(run)))
    write_checksums(folder)


def _about(run: Path) -> dict[str, object]:
    arm = {"off": {"arm": "off"}, "full": {"arm": "full", "zeta": 0.05}}
    methods = {
        name: {
            "estimator": {"name": name.split("-")[0], "eps": 1e-6}, "modulator": arm[name.split("-")[1]], "needs": [],
            "milliseconds": 1.5,
        }
        for name in METHODS
    }  # fmt: skip
    return {
        "run": json.loads((run / "run.json").read_text()), "oracle": {"steps": 60, "continuations": 32}, "steps": 60, "tasks": 8,
        "reliability": {"0": None, "5": 0.5, "all": 0.75}, "state": {"state": "history", "history": 2}, "methods": methods,
    }  # fmt: skip


def test_tables_by_hand(scored: Path) -> None:
    """Best first; a score that is not defined is a dash; the file's pair grpo − gigpo is shown as gigpo − grpo."""
    whole, confidence, first, second, sizes, compared = document_of(read_study(scored)).tables
    assert [row[0] for row in whole.rows] == ["gigpo-off", "gigpo-full", "grpo-off"]
    assert whole.rows[0] == (
        "gigpo-off", "0.30 (0.25 to 0.35)", "0.30 (0.25 to 0.35)", "30 (25 to 35)", "30 (25 to 35)", "–", "0.30 (0.25 to 0.35)"
    )  # fmt: skip
    assert whole.title.endswith("all iterations, reliability of the oracle 0.75")
    assert (first.title.split(": ")[-1], second.title.split(": ")[-1]) == (
        "iteration 0, reliability of the oracle –", "iteration 5, reliability of the oracle 0.50",
    )  # fmt: skip
    assert [row[1:] for row in confidence.rows] == [
        ("worth, A", "0.10 (0.00 to 0.20)", "-0.10 (-0.20 to 0.00)"), ("worth, A", "–", "–"),
    ]  # fmt: skip
    assert sizes.names == ["method", "2", "4"]
    assert compared.rows == (("gigpo-off", "rank correlation", "+0.200", "+0.100", "+0.300", "0.010"),)
    assert compared.title.endswith(BASELINE)


def test_a_card_says_what_a_method_is_and_what_was_measured(scored: Path) -> None:
    of_grpo, of_gigpo, modulated = cards(read_study(scored)).tables
    assert of_grpo.title == "GRPO, off (grpo-off)"
    facts = dict(of_grpo.rows)
    assert facts["formula"].startswith("GRPO: A(i) = (R − mean) / (std + ε)")
    assert (facts["unit of credit"], facts["state"], facts["settings"]) == ("the trajectory", "none", "eps = 1e-06")
    assert facts["cost"] == "1.5 ms an iteration's batch"
    assert "rank correlation 0.10 (0.05 to 0.15)" in of_grpo.rows[-1][1]
    assert dict(of_gigpo.rows)["state"] == "history of 2 steps"
    assert dict(modulated.rows)["modulator"].startswith("full: EMPG: A_mod")


def test_what_cards_say_beside_the_code_is_of_estimators_that_there_are() -> None:
    known = yaml.safe_load((Path(results.__file__).parent / "methods.yaml").read_text("utf-8"))
    assert known.keys() <= ESTIMATORS.keys()
    assert all(said.keys() == {"title", "unit", "reads"} for said in known.values())


def test_the_report_is_whole_and_the_same_bytes_again(scored: Path, tmp_path: Path) -> None:
    made = []
    for out in (tmp_path / "one" / "credit", tmp_path / "two" / "credit"):
        assert write_report(scored, out) == 1
        made.append({str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()})
    assert made[0] == made[1]
    figures = {f"figures/{name}.{end}" for name in FIGURES for end in ("png", "svg", "pdf")}
    tables = {f"tables/{name}" for name in ("credit.csv", "credit.md", "credit.tex", "methods.md")}
    assert set(made[0]) == {*figures, *tables, "report.html"}
    page = made[0]["report.html"].decode()
    assert all(part in page for part in ('"gigpo-full"', "GiGPO, off", "you see it", "Credit by group size"))
    assert "<b>" not in page
    csv = made[0]["tables/credit.csv"].decode().splitlines()
    assert csv[1] == "alfworld,tiny,test-alfworld-tiny-grpo-off,0,0,all,grpo-off,rank,0.1,0.05,0.15000000000000002"


def test_bad_folders_are_named(scored: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere holds no scores"):
        read_study(tmp_path / "nowhere")
    (scored / "alfworld" / "scores.csv").write_text("iteration\n")
    with pytest.raises(DataError, match=r"alfworld is no scoring \(scores.csv is not what was written"):
        read_study(scored)
    write_checksums(scored / "alfworld")
    with pytest.raises(DataError, match=r"scores\.csv has other columns"):
        read_study(scored)
