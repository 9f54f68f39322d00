"""Tables of a study made by hand, and the command that writes them."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipelines.errors import DataError
from pipelines.reporting.__main__ import main
from pipelines.reporting.printing import markdown, show, to_csv
from pipelines.reporting.report import collect, write_tables
from pipelines.reporting.results import find_results, read_runs
from pipelines.reporting.statistics import Difference
from pipelines.reporting.tables import Comparison, make_table
from tests.reporting.results import edit_table, write_results, write_study
from tests.reporting.study import write_settings

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("study")
    write_study(root)
    return root


# Intervals below follow from the bootstrap's exact distribution; every probability that decides is more than 6 standard
# deviations of counting 10,000 draws (.0016 at 2.5 %) away from 2.5 %. Two seeds a and b: a resample has a twice (¼), b
# twice (¼) or both (½); its four tasks are drawn from four.
#   grpo off, seeds 1000 and 1110. Low: 1000 twice, task 0 never drawn: ¼·(¾)⁴ = 7.9 % → 0. High: 1110 twice, task 3 never
#     drawn: ¼·(¾)⁴ → 100.
#   grpo full, 1110 and 1111. Low: 1110 twice with at most one hit: ¼·13/256 = 1.3 %, too rare; with at most two: ¼·67/256
#     = 6.5 %, and its mean is 50. High: 100.
#   dapo off, one seed, 1100: all or no hits (½)⁴ = 6.3 % each → 0 and 100; no standard deviation.
#   dapo full, 1100 and 0000. Low: 0. High: 1100 twice with four hits: ¼/16 = 1.6 %, too rare; with three or four: ¼·5/16
#     = 7.8 % → 75 (mixed seeds reach 50).
#   Difference of grpo, full − off: 0110 and 0001, mean 3/8. Low: no hit: ¼·(½)⁴ + ¼·(¾)⁴ + ½·(¼)⁴ = 9.7 %, never below
#     → 0. High: all hits: ¼·(½)⁴ + ¼·(¼)⁴ = 1.7 %, too rare; three or four: ¼·5/16 + ¼·13/256 = 9.1 % → 75. So p is
#     2·9.7 % = .193, times 2 by Holm .387; of 10,000 draws .399, within four standard deviations (.047). dapo's is 1.

# By type, "pick" is tasks 0 and 2, "look" 1 and 3. Standard deviations: seeds ¼ and ¾, or ½ and 0: √(2·(¼)²/1) = .354;
# ¾ and 1: .177.
MARKDOWN = """\
# alfworld at test scale, success on 4 tasks — stand-in models made here: not comparable with the paper's numbers

## Success (%)

| algorithm | EMPG | seeds | warm start | success | 95 % interval | gain |
| --- | --- | --- | --- | --- | --- | --- |
| grpo | off | 2 | 25.0 | 50.0 ± 35.4 | 0.0 – 100.0 | +25.0 |
| grpo | full | 2 | 25.0 | 87.5 ± 17.7 | 50.0 – 100.0 | +62.5 |
| dapo | off | 1 | 25.0 | 50.0 ± – | 0.0 – 100.0 | +25.0 |
| dapo | full | 2 | 25.0 | 25.0 ± 35.4 | 0.0 – 75.0 | +0.0 |

## Success by task type (%)

| algorithm | EMPG | look | pick |
| --- | --- | --- | --- |
| grpo | off | 25±35 | 75±35 |
| grpo | full | 75±35 | 100±0 |
| dapo | off | 50±– | 50±– |
| dapo | full | 25±35 | 25±35 |

## Success, paired difference to EMPG off (points; same seeds, same tasks)

| algorithm | EMPG | seeds | difference | 95 % interval | p (Holm) | verdict |
| --- | --- | --- | --- | --- | --- | --- |
| grpo | full | 2 | +37.5 | +0.0 – +75.0 | 0.399 | noise |
| dapo | full | 1 | +0.0 | +0.0 – +0.0 | 1.000 | noise |

Mean ± standard deviation over seeds; intervals by a two-level bootstrap over seeds and tasks (10,000 resamples); p-values \
from the same bootstrap, corrected by Holm for the number of comparisons. “noise”: inside what seeds and \
tasks vary by, which does not say that there is no difference: with three seeds and 128 tasks, for example, a true one of \
ten points is called so in 38 to 80 % of studies. Below 5 seeds interval and p are too narrow and small where seeds \
differ much, too wide and large where they hardly do: there is no verdict but noise.
"""


def test_the_table_by_hand(study: Path) -> None:
    assert markdown(make_table(read_runs(find_results(study)))) == MARKDOWN


# By type, two tasks: a mean of 0 or 1 needs one seed twice and both draws alike, ¼·¼ = 6.3 % > 2.5 %: reached. Everything
# starts at 1000: "pick" at ½, "look" at 0.
CSV = f"""\
cell,algorithm,empg,measure,task_type,mean,sd,low,high,seeds,tasks,warm_start
test-alfworld-tiny-grpo-off,grpo,off,success,all,0.5,{math.sqrt(1 / 8)},0.0,1.0,2,4,0.25
test-alfworld-tiny-grpo-off,grpo,off,success,look,0.25,{math.sqrt(1 / 8)},0.0,1.0,2,2,0.0
test-alfworld-tiny-grpo-off,grpo,off,success,pick,0.75,{math.sqrt(1 / 8)},0.0,1.0,2,2,0.5
test-alfworld-tiny-grpo-full,grpo,full,success,all,0.875,{math.sqrt(1 / 32)},0.5,1.0,2,4,0.25
test-alfworld-tiny-grpo-full,grpo,full,success,look,0.75,{math.sqrt(1 / 8)},0.0,1.0,2,2,0.0
test-alfworld-tiny-grpo-full,grpo,full,success,pick,1.0,0.0,1.0,1.0,2,2,0.5
test-alfworld-tiny-dapo-off,dapo,off,success,all,0.5,nan,0.0,1.0,1,4,0.25
test-alfworld-tiny-dapo-off,dapo,off,success,look,0.5,nan,0.0,1.0,1,2,0.0
test-alfworld-tiny-dapo-off,dapo,off,success,pick,0.5,nan,0.0,1.0,1,2,0.5
test-alfworld-tiny-dapo-full,dapo,full,success,all,0.25,{math.sqrt(1 / 8)},0.0,0.75,2,4,0.25
test-alfworld-tiny-dapo-full,dapo,full,success,look,0.25,{math.sqrt(1 / 8)},0.0,1.0,2,2,0.0
test-alfworld-tiny-dapo-full,dapo,full,success,pick,0.25,{math.sqrt(1 / 8)},0.0,1.0,2,2,0.5
"""


def test_the_csv_by_hand(study: Path) -> None:
    assert to_csv(make_table(read_runs(find_results(study)))) == CSV


def test_the_files_are_the_table(study: Path, tmp_path: Path) -> None:
    """With the settings that are not the paper's: here those that the results, made by hand, do not even have."""
    settings = write_settings(tmp_path / "settings.json")
    table = write_tables(study, settings, tmp_path / "new" / "folder")
    text = (tmp_path / "new" / "folder" / "table.md").read_text()
    beginning, _, deviations = text.partition("## Deviations from the paper's settings (scale=paper)\n\n")
    assert markdown(table).startswith(beginning)
    assert markdown(table).endswith(deviations.partition("\n\n")[2])
    assert "| training.iterations | 2 | 150 | alfworld |" in deviations
    assert (tmp_path / "new" / "folder" / "table.csv").read_text() == CSV


def test_only_common_seeds_are_paired(study: Path) -> None:
    """GRPO: seed 0 gains 2 tasks of 4, seed 1 gains 1: mean 3/8. DAPO's off has seed 0 alone, where nothing differs."""
    grpo, dapo = make_table(read_runs(find_results(study))).comparisons
    assert (grpo.algorithm, grpo.treatment, grpo.baseline, grpo.difference.seeds) == ("grpo", "full", "off", 2)
    assert grpo.difference.mean == pytest.approx(3 / 8)
    assert (dapo.difference.seeds, dapo.difference.mean, dapo.verdict) == (1, 0.0, "noise")


def test_without_a_common_seed_or_an_off_arm_nothing_is_compared(tmp_path: Path) -> None:
    write_results(tmp_path, "grpo", "off", 0, {0: [0, 0], 2: [0, 0]})
    write_results(tmp_path, "grpo", "full", 1, {0: [0, 0], 2: [1, 1]})
    write_results(tmp_path, "dapo", "full", 0, {0: [0, 0], 2: [1, 1]})
    write_results(tmp_path, "dapo", "future_bonus", 0, {0: [0, 0], 2: [0, 0]})
    table = make_table(read_runs(find_results(tmp_path)))
    assert table.comparisons == ()
    assert "paired difference" not in markdown(table)


def test_every_arm_is_compared_with_off_in_the_papers_order(tmp_path: Path) -> None:
    """All differences are certain (p = 2/10,001 each), so Holm makes all of them three times as large; "lower" is said
    of an arm that loses."""
    for arm, final in (("full", 1), ("off", 0), ("gradient_scaling", 1), ("future_bonus", 1)):
        for seed in range(5):
            write_results(tmp_path, "grpo", arm, seed, {0: [0, 0], 2: [final, final]})
    comparisons = make_table(read_runs(find_results(tmp_path))).comparisons
    assert [c.treatment for c in comparisons] == ["gradient_scaling", "future_bonus", "full"]
    assert [c.verdict for c in comparisons] == ["higher"] * 3
    assert [c.corrected for c in comparisons] == pytest.approx([3 * 2 / 10_001] * 3)


def test_below_five_seeds_there_is_no_verdict_but_noise(tmp_path: Path) -> None:
    """Two certain differences, p = 2/10,001 each and twice that by Holm: four seeds are too few to believe it, five are not."""
    for arm, final, seeds in (("off", 0, 5), ("full", 1, 5), ("future_bonus", 1, 4)):
        for seed in range(seeds):
            write_results(tmp_path, "grpo", arm, seed, {0: [0, 0], 2: [final, final]})
    few, enough = make_table(read_runs(find_results(tmp_path))).comparisons
    assert (few.treatment, few.difference.seeds, few.verdict) == ("future_bonus", 4, "few seeds")
    assert (enough.treatment, enough.difference.seeds, enough.verdict) == ("full", 5, "higher")
    assert few.corrected == enough.corrected == pytest.approx(2 * 2 / 10_001)


@pytest.mark.parametrize(
    ("mean", "corrected", "seeds", "verdict"),
    [
        (0.1, 0.0499, 5, "higher"),
        (-0.1, 0.0499, 5, "lower"),
        (0.1, 0.05, 5, "noise"),
        (-0.1, 1.0, 5, "noise"),
        (0.1, 0.0499, 4, "few seeds"),
        (0.1, 0.05, 4, "noise"),
        (0.09, 0.0499, 5, "noise"),  # its interval holds 0
    ],
)
def test_a_verdict_needs_the_corrected_p_the_interval_and_seeds(
    mean: float, corrected: float, seeds: int, verdict: str
) -> None:
    difference = Difference(mean, mean - 0.095, mean + 0.095, 0.001, seeds, 4)
    assert Comparison("success", "grpo", "full", "off", difference, corrected).verdict == verdict


def test_runs_that_did_not_play_the_same_tasks_are_refused(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "runs")
    file = tmp_path / "runs" / "test-alfworld-tiny-dapo-off" / "seed0" / "evaluations.parquet"
    edit_table(file, task_id=pd.read_parquet(file)["task_id"].str.replace("task0", "another"))
    with pytest.raises(DataError, match=rf"{file} and .* have other tasks at iteration 2"):
        make_table(read_runs(find_results(tmp_path / "runs")))


def test_the_same_results_give_the_same_bytes_in_another_process(study: Path, tmp_path: Path) -> None:
    """Here, and by the command with another order of hashing."""
    settings = write_settings(tmp_path / "settings.json")
    write_tables(study, settings, tmp_path / "here")
    done = report("tables", "--runs", str(study), "--settings", str(settings), "--out", str(tmp_path / "there"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for folder in ("here", "there"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == ["table.csv", "table.md"]
    for name in ("table.csv", "table.md"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes(), name


def test_a_terminal_of_80_columns_shows_it_whole(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show(make_table(read_runs(find_results(study))))
    said = capsys.readouterr().out
    assert "…" not in said
    assert "87.5 ± 17.7" in said
    assert "noise" in said


def report(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.reporting", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_the_command_says_what_is_wrong_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_results(tmp_path / "runs", "grpo", "off", 0, {0: [0], 2: [1]})
    (folder / "metrics.parquet").unlink()
    for runs, said in (
        (tmp_path / "nothing", "no finished run below"),
        (tmp_path / "runs", "metrics.parquet is missing"),
    ):
        folders = ["--runs", str(runs), "--settings", str(tmp_path / "none"), "--out", str(tmp_path / "out")]
        monkeypatch.setattr(sys, "argv", ["reporting", "tables", *folders])
        assert main() == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert said in error
        assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_command_exits_with_1(tmp_path: Path) -> None:
    done = report("tables", "--runs", str(tmp_path), "--settings", "none", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: no finished run below {tmp_path}: launch one")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [[], ["tables"], ["pies", "--runs", "a", "--out", "b"], ["tables", "--runs", "a"]]
)
def test_a_wrong_command_line_is_said(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["reporting", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "usage: python -m pipelines.reporting" in capsys.readouterr().err


def test_a_study_is_collected_anew(tmp_path: Path) -> None:
    """From runs/<cell>-<settings>/seed<k>/results, whatever else is there; what the study had before is gone."""
    runs = [tmp_path / "runs" / "cell-a1b2c3" / f"seed{seed}" for seed in (0, 1)]
    for run in runs:
        (run / "results").mkdir(parents=True)
        (run / "results" / "run.json").write_text(run.name)
        (run / "params.yaml").write_text("not a result")
    study = tmp_path / "results" / "demo"
    (study / "old").mkdir(parents=True)
    collect(runs, study)
    files = {str(path.relative_to(study)): path.read_text() for path in study.rglob("*") if path.is_file()}
    assert files == {f"cell-a1b2c3/seed{seed}/run.json": f"seed{seed}" for seed in (0, 1)}
    assert [path.name for path in study.parent.iterdir()] == ["demo"], "no draft is left"
    assert (runs[0] / "results" / "run.json").is_file()


def test_a_study_that_cannot_be_collected_stays(tmp_path: Path) -> None:
    study = tmp_path / "results" / "demo"
    study.mkdir(parents=True)
    (study / "kept").write_text("")
    with pytest.raises(FileNotFoundError):
        collect([tmp_path / "runs" / "cell" / "seed0"], study)
    assert (study / "kept").is_file()
