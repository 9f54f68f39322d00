"""The study's cells: each composes at every scale, is what its name says, and a wrong one is said in a line that names it."""

from __future__ import annotations

import shutil
from collections import Counter
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from empg.credit import ESTIMATORS
from flows.__main__ import main
from flows.configure.cells import CONF, cells
from flows.configure.compose import compose, compose_all, composer, expand
from pipelines.config import RunConfig
from pipelines.errors import ConfigError
from pipelines.reporting.specification import specifications
from pipelines.run_folder import run_folder

MODELS = {"1.5b": "qwen2.5-1.5b", "7b": "qwen2.5-7b", "8b": "llama-3.1-8b", "32b": "qwen2.5-32b"}
UNTRAINED = ("prompting", "react")
PAPER = [cell for cell in cells() if not cell.startswith("credit/")]


@cache
def composed(scale: str) -> list[RunConfig]:
    """Of each cell of ``PAPER``."""
    return compose_all([[f"+experiment={cell}", f"scale={scale}"] for cell in PAPER])


def test_the_tables_are_whole() -> None:
    arms = ["grpo_off", "grpo_full", "dapo_off", "dapo_full", "rloo", "prompting", "react"]
    table1 = {f"table1/{b}_{m}_{a}" for b, m, a in product(("alfworld", "webshop"), ("1.5b", "7b"), arms)}
    table2 = {f"table2/deepsearch_32b_dapo_{a}" for a in ("off", "gradient_scaling", "future_bonus", "full")}
    strengths = [("0.01", "1.0"), ("0.05", "1.0"), ("0.1", "1.0"), ("0.05", "0.5"), ("0.05", "1.5")]
    table5 = {f"table5/alfworld_1.5b_grpo_zeta{zeta}_k{k}" for zeta, k in strengths}
    table6 = {f"table6/{b}_8b_grpo_{a}" for b, a in product(("alfworld", "webshop"), ("off", "full"))}
    assert {cell for cell in cells() if cell.startswith("table")} == table1 | table2 | table5 | table6


@pytest.mark.parametrize("scale", ["laptop", "paper"])
def test_every_cell_is_what_its_name_says(scale: str) -> None:
    for cell, config in zip(PAPER, composed(scale), strict=True):
        experiment = config.experiment
        benchmark, size, method, *rest = cell.rpartition("/")[2].split("_", 3)
        said = (experiment.benchmark.name, experiment.model.name, experiment.algorithm.name, experiment.scale)
        assert said == (benchmark, MODELS[size], method, scale), cell
        assert (experiment.training.iterations == 0) == (method in UNTRAINED), cell
        strength = _strength(rest[0] if rest else "off", zeta=0.1 if benchmark == "deepsearch" else 0.05)
        empg = experiment.empg
        assert (empg.arm, empg.zeta, empg.k, empg.k_future, empg.normalization) == strength, cell
        experiment.check_fits()


def _strength(said: str, zeta: float) -> tuple[str, float, float, float, str]:
    """Arm, ζ, k, k′ and the normalisation's scope of the last part of a cell's name."""
    if said.startswith("zeta"):
        first, second = said.split("_")
        k = float(second.removeprefix("k"))
        return "full", float(first.removeprefix("zeta")), k, k, "batch"
    return ("full", zeta, 1.0, 1.0, "group") if said == "group" else (said, zeta, 1.0, 1.0, "batch")


def test_cells_of_two_tables_that_are_one_experiment_are_one_run() -> None:
    folders = Counter(run_folder(config) for config in composed("laptop"))
    same = ["table1/alfworld_1.5b_grpo_full", "table5/alfworld_1.5b_grpo_zeta0.05_k1.0"]
    assert [folder for folder, count in folders.items() if count > 1] == [
        run_folder(compose([f"+experiment={same[0]}"]))
    ]
    assert len({run_folder(compose([f"+experiment={cell}", "scale=paper", "seed=2"])) for cell in same}) == 1
    assert run_folder(compose(["benchmark=alfworld"])) in folders  # and so is the same run by its values


def test_cells_and_rows_are_the_same() -> None:
    """Every cell of the paper's is a row of the table that its folder is named after, and every row has its cell."""
    configs = {cell: run.experiment.values() for cell, run in zip(PAPER, composed("paper"), strict=True)}
    rows = {
        (name, benchmark, str(row)): {
            cell for cell, config in configs.items() if config["benchmark"]["name"] == benchmark and row.holds(config)
        }
        for name, table in specifications().items()
        for benchmark in table.columns
        for row in table.rows
    }
    assert [row for row, held in rows.items() if not held] == []
    for cell in configs:
        folder = cell.partition("/")[0]
        assert any(cell in held for (name, *_), held in rows.items() if name.startswith(folder)), cell


def test_the_tournament_has_every_method_on_three_benchmarks() -> None:
    """A file chooses what its name says, and nothing else but GRAFT's λ and GraphGPO's γ of its benchmark."""
    behind = dict.fromkeys(ESTIMATORS, ("off",)) | dict.fromkeys(("grpo", "gigpo", "graft"), ("off", "full", "aem"))
    benchmarks = ("alfworld", "webshop", "deepsearch")
    named = {f"credit/{b}_1.5b_{e}_{arm}": (b, e, arm) for b in benchmarks for e in behind for arm in behind[e]}
    assert sorted(named) == [cell for cell in cells() if cell.startswith("credit/")]
    own = {
        ("webshop", "graft"): {"lam": 0.8},
        ("deepsearch", "graft"): {"lam": 0.6},
        ("webshop", "graphgpo"): {"gamma": 0.2},
    }
    for cell, (benchmark, estimator, arm) in named.items():
        chosen = {"benchmark": benchmark, "model": "qwen2.5_1.5b", "algorithm": estimator, "empg": arm}
        said: dict[str, Any] = {"defaults": [{f"override /{group}": option} for group, option in chosen.items()]}
        if (benchmark, estimator) in own:
            said["algorithm"] = {"estimator": own[benchmark, estimator]}
        assert yaml.safe_load((CONF / "experiment" / f"{cell}.yaml").read_text()) == said, cell
    experiment = compose(["+experiment=credit/webshop_1.5b_graft_aem"]).experiment
    assert experiment.algorithm.estimator.model_dump() == {"name": "graft", "gamma": 0.99, "lam": 0.8}
    assert (experiment.benchmark.name, experiment.empg.arm) == ("webshop", "aem")


def test_overrides_beside_a_cell_win() -> None:
    experiment = compose(
        ["+experiment=table2/deepsearch_32b_dapo_full", "empg=off", "training.iterations=3"]
    ).experiment
    assert (experiment.empg.arm, experiment.training.iterations, experiment.model.name) == ("off", 3, "qwen2.5-32b")


@pytest.mark.parametrize(
    ("glob", "count"),
    [("glob(table*/*)", 41), ("glob([table1/*,table2/*],exclude=*_rloo)", 28), ("table1/alfworld_7b_react", 1)],
)
def test_a_glob_finds_cells_in_their_folders(glob: str, count: int) -> None:
    jobs = expand([f"+experiment={glob}", "seed=0,1"])
    assert len(jobs) == 2 * count
    assert len({tuple(job) for job in jobs}) == 2 * count


def test_jobs_are_composed_as_each_alone() -> None:
    jobs = [
        ["+experiment=table5/alfworld_1.5b_grpo_zeta0.1_k1.0", "seed=7"],
        ["seed=7", "+experiment=table5/alfworld_1.5b_grpo_zeta0.1_k1.0", "seed=8"],
        ["seed=0", "scale=smoke"],
        ["scale=smoke", "seed=3"],
    ]
    assert compose_all(jobs) == [compose(job) for job in jobs]
    assert [config.experiment.seed for config in compose_all(jobs)] == [7, 8, 0, 3]


def test_a_file_that_was_written_again_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process parses it once as long as it stays as it is."""
    shutil.copytree(CONF, tmp_path / "conf")
    monkeypatch.setattr("flows.configure.compose.CONF", tmp_path / "conf")
    file = tmp_path / "conf" / "scale" / "smoke.yaml"
    for iterations in (2, 3):
        file.write_text(file.read_text().replace("iterations: 2", f"iterations: {iterations}"))
        assert compose(["scale=smoke"]).experiment.training.iterations == iterations


# --------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+experiment=table1/*"], r"no such cell; several are -m '\+experiment=glob\(table1/\*\)'"),
        (
            ["+experiment=[table1/alfworld_1.5b_grpo_off,table1/alfworld_1.5b_grpo_full]"],
            r"^\+experiment=\[.*\]: a run is of one cell; several are -m",
        ),
        (
            ["+experiment=table1/nope"],
            r"\+experiment=table1/nope: no such cell; there are controls/…, credit/…, table1/…",
        ),
        (["+experiment=table1/alfworld_1.5b_grpo_ful"], r"did you mean table1/alfworld_1.5b_grpo_full, "),
        (
            ["+experiment=table2"],
            r"no such cell; it is a folder of 4: write \+experiment=table2/deepsearch_32b_dapo_full, or",
        ),
        (["experiment=table1/alfworld_1.5b_rloo"], r"^a cell is added: write \+experiment=…, with the \+$"),
        (
            ["+experiment=table1/alfworld_1.5b_rloo", "training.iteratons=1"],
            r"^unknown key training.iteratons; did you mean",
        ),
    ],
)
def test_a_wrong_choice_is_reported(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compose(overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-m", "+experiment=glob(tabel*)"],
            "+experiment=glob(tabel*): matches no cell; there are controls/…, credit/…, table1/…",
        ),
        (["-m", "+experiment=glob(table2/*)", "empg.zetta=1"], "unknown key empg.zetta; did you mean empg.zeta?"),
        (
            ["-m", "seed=0,1", "hydra.launcher.n_jobs=1,2"],
            "hydra.launcher.n_jobs=1,2: a launch has one launcher, give one",
        ),
    ],
)
def test_a_wrong_launch_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


HEAD = "# @package _global_\ndefaults:\n  - override /benchmark: webshop\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "trainign:\n  iterations: 3\n", "unknown key trainign; did you mean training"),
        (HEAD + "empg:\n  zetta: 3\n", "unknown key empg.zetta; did you mean empg.zeta?"),
        (HEAD + "empg:\n  zeta: lots\n", "empg.zeta = 'lots': "),
        (HEAD.replace("webshop", "webshpo"), "benchmark=webshpo: no such option; did you mean webshop?"),
        (HEAD.replace("benchmark", "benchmrk"), "unknown key benchmrk; did you mean benchmark?"),
        (
            HEAD.replace("override ", ""),
            "benchmark is set twice: write benchmark=… without the +, or in a file override /benchmark: …",
        ),
        (HEAD.replace("/", ""), "override benchmark: write override /benchmark: …, with the /"),
        (HEAD + "  - override /empg: off\n", "YAML reads a bare off, on, yes, no as true or false: quote it"),
        (HEAD + "empg: [\n", "line 5 is no YAML (while parsing a flow node)"),
        (HEAD.partition("\n")[2], "its first line must be # @package _global_"),
        ("", "its first line must be # @package _global_"),
    ],
)
def test_a_wrong_cell_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    for module in ("cells", "compose", "explain"):
        monkeypatch.setattr(f"flows.configure.{module}.CONF", tmp_path / "conf")
    (tmp_path / "conf" / "experiment" / "table9").mkdir()
    (tmp_path / "conf" / "experiment" / "table9" / "mine.yaml").write_text(text)
    assert main(["-m", "+experiment=glob(table9/*)", "seed=0,1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: conf/experiment/table9/mine.yaml: {message}")


def test_what_was_not_there_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """All configurations of a process share what was parsed: no miss may stay in it."""
    with composer() as hydra:
        assert hydra.config_loader.repository.load_config("later") is None
    with composer() as hydra:
        repository = hydra.config_loader.repository
        monkeypatch.setattr(repository, "cache", dict(repository.cache))
        monkeypatch.setattr(repository.delegate, "load_config", lambda config_path: {"found": config_path})
        assert repository.load_config("later") == {"found": "later"}
