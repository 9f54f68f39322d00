"""The verdict of a registered study: known effects are told, none is called noise, and what is said follows from the tables in git."""

from __future__ import annotations

import csv
import html
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pipelines.errors import ConfigError, DataError
from pipelines.files import write_checksums
from pipelines.reporting.__main__ import main
from pipelines.reporting.power import Design, detectable, power
from pipelines.reporting.study.page import found_by, sentences, write_verdict
from pipelines.reporting.study.registration import Registration, read_registration
from pipelines.reporting.study.results import read_study_folder
from pipelines.reporting.study.verdict import Verdict, components, design_of, family_size, promises, verdict_of
from tests.reporting.registered import SMALL, played, study_folder, written

OF = Registration.model_validate(SMALL)


def found(**gains: float) -> Verdict:
    return verdict_of(OF, OF.hours[2], played(gains))


def test_known_effects_are_told_and_none_is_noise() -> None:
    """24 points of 12 pairs on 60 tasks, whose error is about 50/√(12·60) = 2 points."""
    told = found(full=0.2, slow=-0.2)
    assert told.primary.verdict == "higher"
    assert told.primary.difference.low <= 0.2 <= told.primary.difference.high
    assert [(f.contrast.arm, f.verdict, f.told) for f in told.of("control")] == [("slow", "lower", True)]
    (rollouts,) = told.of("second outcome")
    assert rollouts.verdict == "higher"
    assert rollouts.difference.mean == pytest.approx(0.1, abs=0.01), (
        "half of the gain: of two iterations the last has it"
    )
    null = found()
    assert [f.verdict for f in null.findings] == ["noise"] * 4
    assert not null.of("control")[0].told


def test_a_control_of_the_wrong_sign_is_not_told() -> None:
    (control,) = found(slow=0.2).of("control")
    assert (control.verdict, control.told) == ("higher", False)


def test_what_is_excluded_is_the_intervals_far_end() -> None:
    primary = found(full=0.2).primary
    assert primary.excludes == max(-primary.difference.low, primary.difference.high) == primary.difference.high


def test_where_nothing_varied_nothing_is_excluded() -> None:
    of = played({})
    of.games["end"] = False
    primary = verdict_of(OF, OF.hours[2], of).primary
    assert (primary.verdict, math.isnan(primary.excludes)) == ("noise", True)


def test_the_family_is_corrected_and_the_others_are_not() -> None:
    """Two others: the smaller p twice, then no smaller one."""
    of = found(full=0.05, parts=0.05)
    family = [*of.of("second outcome"), *of.of("other arm")]
    assert len(family) == family_size(OF, OF.hours[2]) == 2
    small, large = sorted(family, key=lambda f: f.difference.p)
    assert small.p == pytest.approx(2 * small.difference.p)
    assert large.p == max(small.p, large.difference.p)
    assert all(f.p == f.difference.p for f in (of.primary, *of.of("control")))


def test_what_differences_vary_by_is_found_and_planned() -> None:
    """Games of chances about .6: their dice, 2 · .24, are 69 points; warm starts and seeds bring nothing."""
    varies = found(full=0.1).varies
    assert varies.dice**0.5 == pytest.approx(0.67, abs=0.04)
    (promise,) = promises(OF, OF.hours[2])
    parts, design = components(OF.spreads["expected"]), Design(6, 2, 60)
    assert promise.alone == detectable(parts, design) < promise.first == detectable(parts, design, 2)
    assert promise.controls == {"slow": power(parts, design, 0.3)}


def test_the_page_says_what_the_tables_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = study_folder(tmp_path / "small-2h", played({"full": 0.2, "slow": -0.2}))
    write_verdict(folder, tmp_path / "out")
    study = read_study_folder(folder)
    instrument, first, second, others = sentences(study, found_by(study))
    assert "On held-out tasks full − off is +" in first
    assert ": a difference, higher; every difference beyond" in first
    assert "In the rollouts of the last 2 iterations, the second outcome, full − off is +" in second
    assert "told slow − off, as it had to" in instrument
    assert others == "Of 1 other comparisons all are noise."
    text = (tmp_path / "out" / "verdict.md").read_text("utf-8")
    for said in (
        study.registered.registration,
        study.registered.composed,
        "cccccccccccc (48 runs)",
        "| core-hours planned | 1.50 |",
        "| hours of the runs' processes | 1.20 |",
        first,
    ):
        assert said in text
    with (tmp_path / "out" / "verdict.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["role"] for row in rows] == ["primary", "second outcome", "other arm", "control"]
    assert (rows[0]["warm_starts"], rows[0]["pairs"], rows[0]["tasks"], rows[0]["p_holm"]) == ("6", "12", "60", "")
    page = (tmp_path / "out" / "verdict.html").read_text("utf-8")
    assert page.count("<table>") == 5
    assert page.count(html.escape(first)) == 1
    monkeypatch.setattr("sys.argv", ["reporting", "verdict", "--runs", str(folder), "--out", str(tmp_path / "again")])
    assert main() == 0
    for name in ("verdict.md", "verdict.csv", "verdict.html"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


@pytest.mark.parametrize(("column", "value"), [("warm_start", 99), ("seed", 99), ("task", "another")])
def test_arms_of_other_runs_or_tasks_are_not_paired(column: str, value: object) -> None:
    of = played({})
    own = of.games["arm"] == "full"
    of.games.loc[own & (of.games[column] == of.games[column].max()), column] = value
    with pytest.raises(
        DataError, match="full and off were not played by the same warm starts and seeds on the same tasks"
    ):
        verdict_of(OF, OF.hours[2], of)


def test_a_run_that_lacks_a_task_is_not_paired() -> None:
    of = played({})
    with pytest.raises(DataError, match="did not play every task"):
        verdict_of(OF, OF.hours[2], replace(of, games=of.games[1:]))


def test_an_instrument_that_fails_is_said_to(tmp_path: Path) -> None:
    study = read_study_folder(study_folder(tmp_path / "small-2h", played({})))
    assert sentences(study, found_by(study))[0].startswith("The instrument failed: it did not tell slow − off")


def test_there_is_no_verdict_before_the_last_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="looked at once"):
        write_verdict(study_folder(tmp_path / "small-2h", None), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_registration_that_was_touched_is_damaged(tmp_path: Path) -> None:
    folder = study_folder(tmp_path / "small-2h", played({}))
    file = folder / "registration.yaml"
    file.write_text(file.read_text().replace("Does it help?", "Does it harm?"))
    with pytest.raises(DataError, match=r"registration\.yaml is not what was written.*git checkout"):
        read_study_folder(folder)


def _other_question(folder: Path) -> None:
    file = folder / "registration.yaml"
    file.write_text(file.read_text().replace("Does it help?", "Does it harm?"))


def _other_run(folder: Path) -> None:
    file = folder / "registered.json"
    file.write_text(file.read_text().replace("full 40", "full 41"))


def _run_dropped(folder: Path) -> None:
    games = pd.read_parquet(folder / "games.parquet")
    games[(games["seed"] != 40)].to_parquet(folder / "games.parquet")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_question, r"registration\.yaml has the SHA-256"),
        (_other_run, r"the runs of registered\.json have the SHA-256"),
        (_run_dropped, r"games\.parquet has other runs: 44, registered are 48"),
    ],
)
def test_what_was_changed_and_sealed_anew_is_not_what_was_registered(
    tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    folder = study_folder(tmp_path / "small-2h", played({}))
    change(folder)
    write_checksums(folder)
    with pytest.raises(DataError, match=said):
        read_study_folder(folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"primary": {"arm": "whole", "baseline": "off"}}, "primary names the arm whole, arms has off, full"),
        ({"planned": "hoped"}, "planned=hoped is none of spreads"),
        ({"hours": {1: {"warm_starts": 3, "first": 0, "arms": ["full"]}}}, r"hours\.1\.arms lacks off"),
        ({"hours": {1: {"warm_starts": 2, "first": 0, "arms": ["off", "full"]}}}, r"hours\.1\.warm_starts: .* \(2\)"),
        ({"others": {}}, r"hours\.2\.arms has parts, which nothing is compared with"),
        (
            {"hours": {n: {"warm_starts": 3, "first": 2 * n, "arms": ["off", "full"]} for n in (1, 2)}},
            "hours.1 and hours.2 share the warm start 4",
        ),
        (
            {"hours": {1: {"warm_starts": 3, "first": 0, "arms": ["off", "full", "full"]}}},
            r"hours\.1\.arms names full more than once",
        ),
        ({"primary": {"arm": "off", "baseline": "off"}}, "the arm off is its own baseline"),
        ({"test": {**SMALL["test"], "alpha": 0.1}}, r"test\.alpha: .* \(0\.1\)"),
        ({"test": {**SMALL["test"], "looks": 2}}, r"test\.looks: .* \(2\)"),
        ({"primary": {"arm": "full", "baseline": False}}, r"primary\.baseline: .* \(False: YAML reads off, .*quoted"),
        ({"power": 0.9}, "power: Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_in_a_registration_is_one_line(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read_registration(written(tmp_path / "small.yaml", **changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["question: 2024-13-45", "[" * 3000, "question: !!int ''", "question: !!bool maybe", "{", "a: \xff"]
)
def test_what_is_no_yaml_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "small.yaml").write_text(text, "latin-1")
    with pytest.raises(ConfigError, match=r"small\.yaml is no YAML: ") as caught:
        read_registration(tmp_path / "small.yaml")
    assert "\n" not in str(caught.value)


def test_the_houses_own_study_tells_its_controls_with_the_power_that_it_promises() -> None:
    """The smallest size, the least effect: the others are told more often."""
    of = read_registration(Path(__file__).parents[2] / "studies" / "empg.yaml")
    size = min(of.hours.values(), key=lambda size: size.warm_starts)
    least = min(of.controls[name].at_least for name in of.controls if name in size.arms)
    assert power(components(of.spreads[of.planned]), design_of(of, size), least / 100) >= of.test.power


def test_no_two_warm_starts_share_a_seed() -> None:
    seeds = [seed for start in OF.warm_starts(OF.hours[2]) for seed in OF.seeds_of(start)]
    assert seeds == list(range(40, 52))
