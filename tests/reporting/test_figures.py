"""The figures of studies made by hand: what is drawn, what is said of what is missing, and the same bytes every time."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from pipelines.errors import DataError
from pipelines.reporting import __main__ as command
from pipelines.reporting.figures import write_figure
from pipelines.reporting.figures.entropy_change import binned_change
from pipelines.reporting.figures.modulation import CLARITY, GAIN, points_of, shares_of
from pipelines.reporting.figures.study import comparable_study, panels
from pipelines.reporting.figures.style import Figure, pyplot
from pipelines.reporting.results import read_run, read_study
from tests.reporting.analyses import add_entropy_change, add_proposition1, add_trajectories, trajectory
from tests.reporting.results import edit_table, replace_table, write_results, write_study

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """{GRPO, DAPO} × {off, full}; GRPO's with an analysis."""
    root = tmp_path_factory.mktemp("study")
    write_study(root)
    for arm, final in (("off", [1.0, 1.0]), ("full", [2.0, 0.5])):
        for seed in (0, 1):
            folder = root / f"test-alfworld-tiny-grpo-{arm}" / f"seed{seed}"
            add_entropy_change(folder, np.arange(20) / 10, np.arange(20) / 10 + (seed + 1) * (arm == "full"))
            add_proposition1(folder, {0.0: 0.0}, {np.log(2): 0.5})
            played = {"H_norm": [0.0, 1.0], "g": [1.5, 1.5 * np.exp(-1)], "f": [np.exp(-1), 0.0], "A_final": final}
            add_trajectories(folder, trajectory(**played), trajectory(5, member=1, success=False, **played))
    return root


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    pyplot().close("all")


def draw(name: str, runs: Path) -> Figure:
    figure: Figure = import_module(f"pipelines.reporting.figures.{name}").draw(comparable_study(read_study(runs)))
    return figure


def axes_of(figure: Figure) -> dict[str, Any]:
    """By the first line of their titles."""
    return {ax.get_title("left").splitlines()[0]: ax for ax in figure.plot.axes if ax.get_title("left")}


def lines_of(ax: Any) -> dict[str, list[list[float]]]:
    """Label → x, y and, when there is a band, its lower and upper edge."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_hex

    areas = [area for area in ax.collections if isinstance(area, PolyCollection)]
    bands = {to_hex(area.get_facecolor()[0]): area.get_paths()[0].vertices for area in areas}
    lines = {}
    for line in ax.get_lines():
        if line.get_label().startswith("_"):
            continue
        xs = line.get_xdata().tolist()
        lines[line.get_label()] = [xs, line.get_ydata().tolist()]
        if (corners := bands.get(to_hex(line.get_color()))) is not None:
            edges = [corners[corners[:, 0] == x][:, 1].tolist() for x in xs]
            lines[line.get_label()] += [[min(edge) for edge in edges], [max(edge) for edge in edges]]
    return lines


def test_learning_curves_by_hand(study: Path) -> None:
    """Percent at iterations 0 and 2: mean, lowest and highest of the seeds; one seed has no band."""
    figure = draw("learning_curves", study)
    axes = axes_of(figure)
    assert list(axes) == ["ALFWorld · GRPO", "ALFWorld · DAPO"]
    assert lines_of(axes["ALFWorld · GRPO"]) == {
        "EMPG off": [[0, 2], [25, 50], [25, 25], [25, 75]],
        "EMPG full": [[0, 2], [25, 87.5], [25, 75], [25, 100]],
    }
    assert lines_of(axes["ALFWorld · DAPO"]) == {
        "EMPG off": [[0, 2], [25, 50]],
        "EMPG full": [[0, 2], [25, 25], [25, 0], [25, 50]],
    }
    assert axes["ALFWorld · GRPO"].get_ylabel() == "success (%)"
    assert "4 tasks" in figure.caption
    assert "mean of 1 to 2 seeds; band: lowest to highest" in figure.caption  # DAPO's off has one
    assert figure.claim == "Test scale: small stand-in models made here, not comparable with the paper's numbers."


def test_a_study_of_several_benchmarks_and_models_has_a_panel_each(tmp_path: Path) -> None:
    write_results(tmp_path / "a", "grpo", "off", 0, {0: [0], 2: [1]})
    write_results(
        tmp_path / "b", "grpo", "off", 0, {0: [0, 0], 2: [1, 0]}, panel="q" * 64, benchmark={"name": "webshop"}
    )
    write_results(tmp_path / "c", "dapo", "off", 0, {0: [0], 2: [0]}, model="large")
    titles = [ax.get_title("left").splitlines() for ax in draw("learning_curves", tmp_path).plot.axes]
    assert titles == [
        ["ALFWorld · DAPO", "stand-in for large"],
        ["ALFWorld · GRPO", "stand-in for tiny"],
        ["WebShop · GRPO", "stand-in for tiny"],
    ]


def test_other_strengths_of_an_arm_are_series_of_their_own(tmp_path: Path) -> None:
    """ζ = .05 and k = 1 are the most frequent: the curves show them, the bars all."""
    for zeta, k in ((0.01, 1.0), (0.05, 0.5), (0.05, 1.0), (0.1, 1.0), (0.05, 1.5)):
        empg = {"arm": "full", "zeta": zeta, "k": k, "k_future": k, "normalization": "batch"}
        write_results(
            tmp_path / f"{zeta}-{k}", "grpo", "full", 0, {0: [0, 0], 2: [int(zeta == 0.05), int(k == 1.0)]}, empg=empg
        )
    (panel,) = panels(read_study(tmp_path))
    assert [series.label for series in panel.usual] == ["EMPG full"]
    strengths = [series.strengths for series in panel.series]
    assert strengths == ["", "ζ = 0.01", "k = 0.5, k′ = 0.5", "k = 1.5, k′ = 1.5", "ζ = 0.1"]
    (ax,) = draw("learning_curves", tmp_path).plot.axes
    assert lines_of(ax) == {"EMPG full": [[0, 2], [0, 100]]}
    (bars,) = draw("final_bars", tmp_path).plot.axes
    assert len(bars.patches) == 5


@pytest.mark.parametrize(
    ("choices", "usual"),
    [
        ([(0.05, 1.0, "group"), (0.05, 1.0, "batch")], "0.05 1.0 batch"),  # also where the other's folder comes first
        # Nobody has the most frequent ζ and, ties being the first, the most frequent k: taken apart, there were no usual choice.
        ([(0.2, 1.0, "batch"), (0.1, 2.0, "batch"), (0.1, 3.0, "batch")], "0.1 2.0 batch"),
    ],
)
def test_every_arm_has_a_usual_choice(tmp_path: Path, choices: list[tuple[float, float, str]], usual: str) -> None:
    for number, (zeta, k, scope) in enumerate(choices):
        empg = {"arm": "full", "zeta": zeta, "k": k, "k_future": k, "normalization": scope}
        write_results(tmp_path / str(number), "grpo", "full", 0, {0: [0], 2: [1]}, empg=empg)
    (panel,) = panels(read_study(tmp_path))
    (series,) = panel.usual
    empg = series.runs[0].config["empg"]
    assert f"{empg['zeta']} {empg['k']} {empg['normalization']}" == usual


def test_final_bars_by_hand(study: Path) -> None:
    """Means, seeds as points, the tables' interval, and where RL began."""
    (ax,) = draw("final_bars", study).plot.axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["GRPO, EMPG off", "GRPO, EMPG full", "DAPO, EMPG off", "DAPO, EMPG full"]
    assert [bar.get_width() for bar in ax.patches] == [50, 87.5, 50, 25]
    interval, seeds = ax.get_lines()[:2]
    assert list(interval.get_xdata()) == [0, 100]
    assert seeds.get_xdata().tolist() == [25, 75]
    assert set(ax.get_lines()[-1].get_xdata()) == {25}


def test_what_was_only_evaluated_has_a_bar_and_no_curve(tmp_path: Path) -> None:
    write_results(tmp_path, "prompting", "off", 0, {0: [1, 0]})
    assert draw("learning_curves", tmp_path).caption.startswith("Not drawn. No run was trained")
    write_results(tmp_path, "grpo", "off", 0, {0: [1, 1], 2: [1, 0]})
    (curves,) = draw("learning_curves", tmp_path).plot.axes
    assert curves.get_title("left").startswith("ALFWorld · GRPO")
    (ax,) = draw("final_bars", tmp_path).plot.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["prompting", "GRPO, EMPG off"]
    assert set(ax.get_lines()[-1].get_xdata()) == {100}  # where RL began, of what it trained


# --------------------------------------------------------------------------------------------------- curves of metrics


@pytest.mark.parametrize(("name", "values"), [("kl", [0.01, 0.02]), ("step_entropy", [0.3, 0.3])])
def test_a_metric_by_hand(study: Path, name: str, values: list[float]) -> None:
    """KL .01 and .02, entropy .3; the warm start has neither."""
    for ax in axes_of(draw(name, study)).values():
        for x, y, *_ in lines_of(ax).values():
            assert (x, y) == ([1, 2], pytest.approx(values))


def test_a_metric_that_a_run_lacks_is_left_out(study: Path, tmp_path: Path) -> None:
    """Of its cell; the other cells stay."""
    write_study(tmp_path)
    file = tmp_path / "test-alfworld-tiny-grpo-off" / "seed1" / "metrics.parquet"
    replace_table(file, pd.read_parquet(file).drop(columns="update/kl"))
    assert list(lines_of(axes_of(draw("kl", tmp_path))["ALFWorld · GRPO"])) == ["EMPG full"]
    assert list(lines_of(axes_of(draw("step_entropy", tmp_path))["ALFWorld · GRPO"])) == ["EMPG off", "EMPG full"]


def test_no_run_has_a_metric(tmp_path: Path) -> None:
    file = write_results(tmp_path, "grpo", "off", 0, {0: [0, 0], 2: [1, 0]}) / "metrics.parquet"
    replace_table(file, pd.read_parquet(file)[["iteration"]])
    assert draw("kl", tmp_path).caption == "Not drawn. No run has the metric update/kl: nothing was trained."


def test_without_a_kl_loss_there_is_nothing_to_draw(tmp_path: Path) -> None:
    write_results(tmp_path, "grpo", "off", 0, {0: [0, 0], 2: [1, 0]}, training={"kl_coefficient": 0.0})
    assert "training.kl_coefficient=0" in draw("kl", tmp_path).caption


@pytest.mark.parametrize(
    ("skipped", "expected"),
    [
        ((2, None), [[1, 2], [0.2, 0.6], [0.1, 0.6], [0.3, 0.6]]),  # iteration 1: .1 and .3; iteration 2: .6 alone
        ((1, 2), [[1, 2], [0.3, 0.2], [0.3, 0.2], [0.3, 0.2]]),  # iteration 1: seed 1's; iteration 2: seed 0's
    ],
)
def test_an_update_that_a_seed_skipped(
    tmp_path: Path, skipped: tuple[int | None, ...], expected: list[list[float]]
) -> None:
    """DAPO without an informative group makes no update and has no KL there (null in metrics.parquet): a point is the
    mean of the seeds that have it, at its own iteration."""
    value = {(0, 1): 0.1, (0, 2): 0.2, (1, 1): 0.3, (1, 2): 0.6}
    for seed, left_out in enumerate(skipped):
        folder = write_results(tmp_path, "dapo", "off", seed, {0: [0, 0], 2: [1, 0]})
        kl = [np.nan, *(np.nan if i == left_out else value[seed, i] for i in (1, 2))]
        edit_table(folder / "metrics.parquet", **{"update/kl": kl})
    (ax,) = draw("kl", tmp_path).plot.axes
    (line,) = lines_of(ax).values()
    assert line == [pytest.approx(part) for part in expected]


# ------------------------------------------------------------------------------------------------------------- analysis


def change(before: Sequence[float], after: Sequence[float], bins: int) -> list[float]:
    return list(binned_change(pd.DataFrame({"entropy_before": before, "entropy_after": after}), bins))


def test_twenty_bins_by_hand() -> None:
    """40 steps in another order than their entropies: 2 a bin. The step with rank i (from 0) changes by i, so bin j holds
    2j and 2j + 1: mean 2j + ½."""
    ranks = np.random.default_rng(0).permutation(40)
    before = 0.01 * ranks**2
    assert change(before, before + ranks, 20) == pytest.approx([2 * j + 0.5 for j in range(20)])


def test_equal_entropies_share_a_bin() -> None:
    """Eight steps in four bins. Four of entropy 0 have the mean rank 2.5, percentile (2.5 − ½)/8 = ¼: bin 1. Ranks 5 to 8:
    percentiles .5625, .6875 | .8125, .9375: bins 2 and 3. Nothing is in bin 0."""
    found = change([0, 0, 0, 0, 1, 2, 3, 4], [4, 0, 0, 0, 2, 4, 3, 2], 4)
    assert found == pytest.approx([np.nan, 1.0, 1.5, -1.0], nan_ok=True)


def test_the_change_of_entropy_is_drawn_for_both_arms(study: Path) -> None:
    """EMPG full's seeds rise by 1 and 2 everywhere; DAPO has no analysis, which is said."""
    figure = draw("entropy_change", study)
    (ax,) = figure.plot.axes
    off, full = lines_of(ax)["EMPG off"], lines_of(ax)["EMPG full"]
    assert full[0] == pytest.approx(np.arange(20) * 5 + 2.5)
    assert off[1:] == [pytest.approx([0.0] * 20)] * 3
    assert full[1:] == [pytest.approx([value] * 20) for value in (1.5, 1.0, 2.0)]
    assert "the same steps (those of a run's first rollout, 20)" in figure.caption
    # Both series of both seeds begin with the entropies 0, .1 … 1.9: their quantiles stand below the percentiles.
    ticks = [text.get_text() for text in ax.get_xticklabels()]
    assert ticks == ["0\n0.00", "25\n0.47", "50\n0.95", "75\n1.42", "100\n1.90"]
    assert figure.caption.endswith("Left out: 3 runs without: the analysis did not make it.")


def test_f_is_a_function_of_the_next_steps_entropy(tmp_path: Path) -> None:
    """Two trajectories: the last step of one has no next one, and does not get the other's first."""
    folder = write_results(tmp_path, "grpo", "full", 0, {0: [0], 2: [1]})
    first = trajectory(H_norm=[0.1, 0.2, 0.3], g=[1, 2, 3], f=[0.8, 0.7, 0.0])
    add_trajectories(folder, first, trajectory(member=1, H_norm=[0.4, 0.5], g=[4, 5], f=[0.6, 0.0]))
    run = read_run(folder)
    assert points_of(run, GAIN)[["h", "value"]].to_numpy().tolist() == [
        [0.1, 1],
        [0.2, 2],
        [0.3, 3],
        [0.4, 4],
        [0.5, 5],
    ]
    assert points_of(run, CLARITY)[["h", "value"]].to_numpy().tolist() == [[0.2, 0.8], [0.3, 0.7], [0.5, 0.6]]


def test_the_line_of_g_goes_through_its_points(study: Path) -> None:
    """g = 1.5·exp(−H_norm) in the fixture, f = exp(−H_norm)."""
    gain, clarity = draw("modulation", study).plot.axes
    h = np.linspace(0, 1, 100)
    for ax, scale in ((gain, 1.5), (clarity, 1.0)):
        curve, points = ax.get_lines()[:2]
        assert curve.get_ydata() == pytest.approx(scale * np.exp(-h))
        assert points.get_label() == "first iteration"
    assert gain.get_lines()[1].get_ydata().tolist() == pytest.approx([1.5, 1.5 * np.exp(-1)])


def test_the_range_that_is_stretched_is_said(study: Path) -> None:
    """Of the fixture's two iterations 1.6 and .8 nats."""
    said = draw("modulation", study).caption
    assert "step entropies of a batch spanned 1.6 nats in the first iteration, 0.8 in the last, 0.8 at least." in said


def test_groups_that_are_normalised_each_by_itself_have_no_line_in_common(study: Path, tmp_path: Path) -> None:
    empg = {"arm": "full", "k": 1.0, "k_future": 1.0, "zeta": 0.05, "normalization": "group"}
    folder = write_results(tmp_path, "grpo", "full", 0, {0: [0], 2: [1]}, empg=empg)
    add_trajectories(folder, trajectory(H_norm=[0.1, 0.2], g=[1, 2], f=[0.8, 0.7]))
    for ax in draw("modulation", tmp_path).plot.axes:
        assert [line.get_marker() for line in ax.get_lines()] == ["o"]
        assert not ax.patches


def test_the_histogram_is_on_the_axis_of_the_points(study: Path) -> None:
    """H = 0.1 + 1.6 H_norm in the batch; the rollout's entropies 0, .1 … 1.9, of groups that were left out too, are normalised
    alike, (H − .1)/1.6 cut to [0, 1]: 0 and .1 → 0; .2 → .0625; .3 → .125 … 1.7 and above → 1. Of bins of .05 the first
    has two of 20, the second one (.0625), the third one (.125), the fourth one (.1875), the last four (.975: 1.66, none;
    1.7, 1.8, 1.9 → 1, and 1.6 → .9375 is in the one before)."""
    run = next(run for run in read_study(study) if run.info.arm == "full" and run.info.algorithm == "grpo")
    shares = shares_of(run)
    assert shares is not None
    assert shares[[0, 1, 2, 3, 18, 19]] == pytest.approx([0.1, 0.05, 0.05, 0.05, 0.05, 0.15])
    assert shares.sum() == pytest.approx(1.0)
    gain = draw("modulation", study).plot.axes[0]
    heights = [bar.get_height() for bar in gain.patches]
    assert heights == pytest.approx(list(shares / shares.max() * gain.get_ylim()[1] / 3))


def test_the_same_trajectory_is_drawn_for_every_arm_and_another_one_is_not(study: Path, tmp_path: Path) -> None:
    success = axes_of(draw("step_advantages", study))["ALFWorld · GRPO: a success"]
    assert lines_of(success) == {"EMPG off": [[1, 2], [1.0, 1.0]], "EMPG full": [[1, 2], [2.0, 0.5]]}
    entropies = [
        [bar.get_height() for bar in ax.patches]
        for ax in draw("step_advantages", study).plot.axes
        if ax.get_ylabel() == "$H_{norm}$" and ax.patches
    ]
    assert entropies == [[0.0, 1.0]] * len(entropies)
    assert entropies
    for arm, text in (("off", "look"), ("full", "go"), ("future_bonus", "look")):
        folder = write_results(tmp_path, "grpo", arm, 0, {0: [0], 2: [1]})
        add_trajectories(folder, trajectory(text=text))
    axes = axes_of(draw("step_advantages", tmp_path))
    assert list(lines_of(axes["ALFWorld · GRPO: a success"])) == ["EMPG off", "EMPG future bonus"]
    assert [text.get_text() for text in axes["ALFWorld · GRPO: a failure"].texts] == ["none in the batch"]


def test_proposition_1_is_drawn_once_for_runs_that_share_a_rollout(study: Path) -> None:
    """Four runs with the same two tokens: one each."""
    (ax,) = draw("proposition1", study).plot.axes
    lines = lines_of(ax)
    assert lines["measured, before training (1 tokens)"] == [[0.0], [0.0]]
    assert lines["measured, after training (1 tokens)"] == [[pytest.approx(np.log(2))], [0.5]]
    (predicted,) = (line for label, line in lines.items() if label.startswith("predicted"))
    assert predicted[1] == pytest.approx(1 - np.exp(-np.array(predicted[0])))


def test_what_was_not_differentiated_is_reported(study: Path, tmp_path: Path) -> None:
    assert "closed form" not in draw("proposition1", study).caption
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.rglob("proposition1.parquet"):
        edit_table(file, differentiated=[0.875, 1.0])
    assert "87.5 %" in draw("proposition1", tmp_path).caption


@pytest.mark.parametrize("name", ["entropy_change", "modulation", "step_advantages", "step_columns", "proposition1"])
def test_a_figure_without_data_says_why(tmp_path: Path, name: str) -> None:
    tables = ("entropy_change.parquet", "proposition1.parquet", "trajectories.parquet")
    why = {"absent": dict.fromkeys(tables, "policy=vllm scores no tokens")}
    for seed in (0, 1):
        write_results(tmp_path, "grpo", "full", seed, {0: [0], 2: [1]}, said=why)
    assert draw(name, tmp_path).caption.startswith("Not drawn. ")
    assert "2 runs without: policy=vllm scores no tokens" in draw(name, tmp_path).caption


# ---------------------------------------------------------------------------------------------------------------- files


def test_the_same_results_give_the_same_bytes_in_another_process(study: Path, tmp_path: Path) -> None:
    """Here, and by the command with another order of hashing and another timezone: curves, bars and points."""
    names = ("learning_curves", "final_bars", "entropy_change")
    arguments = [*names, "--runs", str(study), "--out", str(tmp_path / "there")]
    other = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PATH": "", "HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-m", "pipelines.reporting", "figures", *arguments], cwd=REPOSITORY, env=other, check=True
    )
    for name in names:
        write_figure(name, study, tmp_path / "here")
    files = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert files == sorted(f"{name}.{kind}" for name in names for kind in ("pdf", "png", "svg"))
    for name in files:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes(), name


def test_a_file_holds_its_title_its_caption_and_no_date(study: Path, tmp_path: Path) -> None:
    write_figure("kl", study, tmp_path)
    root = ElementTree.parse(tmp_path / "kl.svg").getroot()
    dc = "{http://purl.org/dc/elements/1.1/}"
    assert [root.find(f".//{dc}{name}").text for name in ("title", "description")] == [  # type: ignore[union-attr]
        draw("kl", study).title,
        draw("kl", study).caption,
    ]
    assert root.find(f".//{dc}date") is None
    text = (tmp_path / "kl.svg").read_text("utf-8")
    assert set(re.findall(r"url\(#(\w+?)\d+\)", text)) == {"clip"}  # and not by matplotlib's hash of last bits
    assert b"stand-in models" in (tmp_path / "kl.svg").read_bytes()  # the claim is drawn, its words beside the outlines


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "metrics.parquet").unlink(), "metrics.parquet is missing"),
        (lambda folder: (folder / "trajectories.parquet").write_bytes(b""), "trajectories.parquet is malformed"),
        (lambda folder: (folder / "trajectories.parquet").unlink(), "trajectories.parquet is malformed"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(
    tmp_path: Path,
    damage: Callable[[Path], None],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_results(tmp_path / "runs", "grpo", "off", 0, {0: [0], 2: [1]})
    add_trajectories(folder, trajectory())
    damage(folder)
    monkeypatch.setattr(
        sys, "argv", ["reporting", "figures", "kl", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    )
    assert command.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_figure_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["reporting", "figures", "kl", "pies", "--runs", "a", "--out", "b"])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == 2
    assert "no figure pies: known are learning_curves, " in capsys.readouterr().err


def test_runs_of_one_setting_on_two_panels_are_refused(tmp_path: Path) -> None:
    one = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    other = write_results(tmp_path, "dapo", "off", 0, {0: [0], 2: [1]}, panel="q" * 64)
    with pytest.raises(DataError, match=r"q{12}.*report them apart"):
        comparable_study([read_run(one), read_run(other)])


def test_runs_of_two_scales_are_refused(tmp_path: Path) -> None:
    one = write_results(tmp_path / "a", "grpo", "off", 0, {0: [0], 2: [1]})
    other = write_results(tmp_path / "b", "grpo", "full", 0, {0: [0], 2: [1]}, scale="laptop")
    with pytest.raises(DataError, match=r"laptop.*test.*report them apart"):
        comparable_study([read_run(one), read_run(other)])


def test_arms_that_differ_in_more_than_empg_are_refused(tmp_path: Path) -> None:
    one = write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    other = write_results(tmp_path, "grpo", "full", 0, {0: [0], 2: [1]}, training={"learning_rate": 1.0})
    with pytest.raises(DataError, match=r"\(training\).*same settings"):
        comparable_study([read_run(one), read_run(other)])


def test_a_cell_and_seed_stands_once(tmp_path: Path) -> None:
    folders = [write_results(tmp_path / name, "grpo", "off", 0, {0: [0], 2: [1]}) for name in "ab"]
    with pytest.raises(DataError, match=r"a/.*seed0 .*b/.*seed0 .*grpo, EMPG off.*report one"):
        comparable_study([read_run(folder) for folder in folders])


def test_a_table_that_is_absent_without_a_reason_is_not_passed_over(tmp_path: Path) -> None:
    write_results(tmp_path, "grpo", "off", 0, {0: [0], 2: [1]})
    assert "1 run without: the analysis did not make it" in draw("proposition1", tmp_path).caption
