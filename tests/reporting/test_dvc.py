"""A study under DVC, with the real dvc: tracked, rebuilt only where something changed, pushed and pulled."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from flows.publish import StudyError, _dvc, publish
from pipelines.config import RunConfig
from pipelines.reporting.figures import FIGURES
from pipelines.reporting.specification import specifications
from pipelines.run_folder import run_folder
from tests.once import made_once
from tests.pipelines.runs import small_config
from tests.reporting.results import edit_table, write_run
from tests.reporting.study import experiment_of, write_cell

REPOSITORY = Path(__file__).parents[2]
FINAL = {"off": [1, 0, 0, 0], "full": [1, 1, 1, 0]}
# Some of the tables and figures, for the test's time.
DEMO = tuple(
    f"demo/dvc.yaml:{stage}" for stage in ("tables", "figure@learning_curves", "figure@kl", "summary", "report")
)
GRID = (
    "paper_settings",
    "table@grid-table1",
    "table@grid-table5",
    "figure@grid-learning_curves",
    "summary@grid",
    "report@grid",
)
GRID_CELLS = ("empg=off", "empg=full", "empg=full empg.zeta=0.01")
SPECIFICATION = Path("pipelines/reporting/paper/tables.yaml")


@pytest.fixture(autouse=True)
def dvc_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_dvc_in(tmp_path, monkeypatch)


def keep_dvc_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its index of files outside the repository, and no telemetry; the stages import the checkout's packages."""
    for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG"):
        monkeypatch.setenv(f"DVC_{name}_DIR", str(folder / name))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.delenv("PYTHONPATH", raising=False)


def configs_of(root: Path) -> list[RunConfig]:
    return [small_config(root, empg__arm=arm) for arm in FINAL]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git checkout with what the stages need. Its study "demo" was published after a launch of two runs, its study "grid"
    after one of three."""

    def make(root: Path) -> None:
        publish_both(root, tmp_path_factory.mktemp("dvc"))

    return made_once(tmp_path_factory, "checkout", make)


def publish_both(root: Path, own: Path) -> None:
    for name in ("dvc.yaml", "demo/dvc.yaml", ".gitignore", ".dvc/config", ".dvc/.gitignore", ".dvcignore"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, root / name)
    keep_some(root / "dvc.yaml", "table1, table5", "learning_curves")
    keep_some(root / "demo" / "dvc.yaml", "", "learning_curves, kl")
    for package in ("pipelines", "empg", "flows", "conf"):
        shutil.copytree(REPOSITORY / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    configs = configs_of(root)
    for config, arm in zip(configs, FINAL, strict=True):
        write_run(run_folder(config) / "results", "grpo", arm, 0, {0: [0, 0, 0, 0], 2: FINAL[arm]})
    with pytest.MonkeyPatch.context() as patch:
        keep_dvc_in(own, patch)
        patch.chdir(root)
        assert publish(configs, "demo") == Path("reports/demo")
        assert publish([finished(root, cell) for cell in GRID_CELLS], "grid") == Path("reports/grid")


def keep_some(stages: Path, tables: str, figures: str) -> None:
    """And no other studies."""
    text = re.sub(r"\n  verdict:.*?(?=\nmetrics:|\Z)", "", stages.read_text(), flags=re.DOTALL)
    text = re.sub(r"name: \[table1,.*\]", f"name: [{tables}]", text)
    stages.write_text(re.sub(r"name: \[learning_curves,.*\]", f"name: [{figures}]", text))


def finished(root: Path, overrides: str) -> RunConfig:
    """A run of the grid, as a launch leaves it."""
    execution = {"runs": root / "runs", "artifacts": root / "artifacts"}
    config = RunConfig.model_validate({"experiment": experiment_of(*overrides.split()), "execution": execution})
    (results,) = write_cell(root / ".made", overrides, [[1, 0, 1, 0]])
    shutil.copytree(results, run_folder(config) / "results")
    return config


@pytest.fixture
def checkout(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for one test, which is in it."""
    root = tmp_path / "checkout"
    shutil.copytree(published, root)
    monkeypatch.chdir(root)
    return root


def digests(*folders: Path) -> dict[str, str]:
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.name != ".gitignore"}


def dvc(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def assert_rebuilt(said: str, ran: Sequence[str], skipped: Sequence[str]) -> None:
    assert sorted(re.findall(r"Running stage '([^']+)'", said)) == sorted(ran)
    assert set(re.findall(r"Stage '([^']+)' didn't change, skipping", said)) == set(skipped)


def ignored(path: str) -> bool:
    return subprocess.run(["git", "check-ignore", path], capture_output=True, check=False).returncode == 0


def test_a_published_study(checkout: Path) -> None:
    """Results are the runs', cell by cell; table and figures are made; git keeps what points to them, not them."""
    for config in configs_of(checkout):
        run = run_folder(config)
        collected = checkout / "results" / "demo" / run.parent.name / run.name
        ours, theirs = digests(collected), digests(run / "results")
        assert len(ours) == 4
        assert list(ours.values()) == list(theirs.values())
    made = {str(path.relative_to("reports/demo")) for path in Path("reports/demo").rglob("*.*") if path.is_file()}
    assert made - {".gitignore"} == {
        "tables/cells.md", "tables/cells.tex", "tables/cells.csv", "tables/cells_differences.csv",
        "figures/learning_curves.png", "figures/learning_curves.svg", "figures/learning_curves.pdf",
        "figures/kl.png", "figures/kl.svg", "figures/kl.pdf", "report.html", "metrics.json", "curves.csv",
    }  # fmt: skip
    assert "| GRPO | full | 0.0 | 75.0 |" in Path("reports/demo/tables/cells.md").read_text()
    assert not ignored("results/demo.dvc")
    assert not ignored("demo/dvc.lock")
    assert ignored("results/demo")
    assert ignored("reports")


def test_a_published_grid(checkout: Path) -> None:
    """Its results are git's; each table has its files."""
    made = {path.name for path in Path("reports/grid/tables").iterdir()} - {".gitignore"}
    assert made == {
        f"{table}{end}" for table in ("table1", "table5") for end in (".md", ".tex", ".csv", "_differences.csv")
    }
    assert "| qwen2.5-1.5b | GRPO | 0.01 | 1.0 |" in Path("reports/grid/tables/table5.md").read_text()
    assert len(list(Path("results/grid").rglob("run.json"))) == 3
    assert not any(map(ignored, ("results/grid", "results/grid/any/seed0/run.json", "dvc.lock")))
    assert not Path("results/grid.dvc").exists()


def test_every_table_is_a_stage() -> None:
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    assert stages["table"]["matrix"]["name"] == list(specifications())
    read = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "pipelines/reporting/paper").glob("*.csv")}
    assert {Path(path) for path in stages["table"]["deps"]} >= read


def test_every_figure_is_a_stage() -> None:
    for file in ("dvc.yaml", "demo/dvc.yaml"):
        stages = yaml.safe_load((REPOSITORY / file).read_text())["stages"]
        assert stages["figure"]["matrix"]["name"] == list(FIGURES)


def test_metrics_and_plots_say_what_came_of_it(checkout: Path) -> None:
    """The demo's cells: success of 1/4 and 3/4."""
    shown = dvc("metrics", "show")
    assert re.search(r"grpo-full.*\b75", shown.replace("\n", " "))
    dvc("plots", "show")
    (page,) = Path("dvc_plots").glob("index.html")
    assert "Success by evaluation" in page.read_text()


def test_the_study_of_credit_is_a_stage() -> None:
    """Which knows every module of the report on credit."""
    stage = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]["credit"]
    names = [
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for path in (REPOSITORY / "pipelines/credit/report").rglob("*.py")
    ]
    code = f"import sys\nfor name in {names}: __import__(name)\nprint(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    read = {
        REPOSITORY.joinpath(*name.split(".")).with_suffix(".py")
        for name in loaded
        if name.startswith("pipelines.credit.")
    }
    deps = [REPOSITORY / path for path in stage["deps"]]
    assert read
    assert all(any(file.is_relative_to(dep) for dep in deps) for file in read if file.is_file())


def test_a_fresh_clone_makes_the_same_tables(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `dvc repro` alone: no demo was run there, and nothing is in a cache. Afterwards git sees no change."""
    for command in (["add", "-A"], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "all"]):
        subprocess.run(["git", *command], check=True)
    subprocess.run(["git", "clone", "-q", str(checkout), str(tmp_path / "clone")], check=True)
    monkeypatch.chdir(tmp_path / "clone")
    assert not Path("reports").exists()
    assert_rebuilt(dvc("repro"), GRID, [])
    assert digests(Path("reports/grid")) == {
        str(Path(name).relative_to(checkout)): digest for name, digest in digests(checkout / "reports" / "grid").items()
    }
    assert subprocess.run(["git", "status", "--short"], capture_output=True, check=True).stdout == b""


def test_again_nothing_is_made_and_a_push_brings_it_back(checkout: Path) -> None:
    results, reports = checkout / "results" / "demo", checkout / "reports"
    made = digests(results, reports)
    assert_rebuilt(dvc("repro", "--all-pipelines"), [], [*DEMO, *GRID])
    assert digests(results, reports) == made
    dvc("push")
    for folder in (results, reports, checkout / ".dvc" / "cache"):
        shutil.rmtree(folder)
    dvc("pull")
    assert digests(results, reports) == made
    assert "up to date" in dvc("status")


def test_a_bucket_is_a_remote_by_configuration_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3's own protocol, spoken by a server of this test."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": host,
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="bucket")
        monkeypatch.chdir(tmp_path)
        for name in (".dvc/config", ".dvcignore"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(REPOSITORY / name, tmp_path / name)
        subprocess.run(["git", "init", "-q"], check=True)
        checkpoint = tmp_path / "archive" / "grid" / "checkpoint"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_text("weights")
        dvc("remote", "add", "-d", "team", "s3://bucket/path")
        dvc("add", "archive/grid")
        dvc("push")
        shutil.rmtree(tmp_path / "archive" / "grid")
        shutil.rmtree(tmp_path / ".dvc" / "cache")
        dvc("pull")
        assert checkpoint.read_text() == "weights"
    finally:
        server.stop()


def test_what_depends_on_a_change_is_made_again(checkout: Path) -> None:
    """A result of one study: its table, its figures and its report. Then the code of one figure: that figure alone."""
    made = digests(checkout / "reports")
    table = sorted((checkout / "results" / "demo").rglob("evaluations.parquet"))[0]
    edit_table(table, success=True)
    assert_rebuilt(dvc("repro", "--all-pipelines"), DEMO, GRID)
    changed = {Path(file).name for file, digest in digests(checkout / "reports").items() if made[file] != digest}
    assert changed == {f"cells{end}" for end in (".md", ".tex", ".csv", "_differences.csv")} | {
        "learning_curves.png",
        "learning_curves.svg",
        "learning_curves.pdf",
        "report.html",
        "metrics.json",
        "curves.csv",
    }
    with (checkout / "pipelines" / "reporting" / "figures" / "kl.py").open("a") as file:
        file.write("# changed\n")
    kl = "demo/dvc.yaml:figure@kl"
    assert stale() == [kl]


def test_a_table_depends_on_its_own_rows_and_on_what_all_share(checkout: Path) -> None:
    text = SPECIFICATION.read_text()
    assert text.count("Table 5: sensitivity") == 1
    SPECIFICATION.write_text(text.replace("Table 5: sensitivity", "Table 5: Sensitivity"))
    with Path("conf/scale/paper.yaml").open("a") as file:
        file.write("# composes to the same\n")
    reports = ["report@grid", "demo/dvc.yaml:report"]  # which say of each row what it was made of
    assert set(stale()) == {"paper_settings", "table@grid-table5", *reports}
    with Path("pipelines/reporting/tables.py").open("a") as file:
        file.write("# changed\n")
    assert set(stale()) == {
        "paper_settings",
        "table@grid-table1",
        "table@grid-table5",
        "demo/dvc.yaml:tables",
        *reports,
    }


def stale() -> list[str]:
    return re.findall(r"^(\S+):$", dvc("status"), re.MULTILINE)


def test_an_altered_result_of_the_grid_is_named(checkout: Path) -> None:
    """DVC says that the results changed; when it makes a table of them, which file it is."""
    file = sorted(Path("results/grid").rglob("evaluations.parquet"))[1]
    file.write_bytes(file.read_bytes()[:-1])
    assert stale() == [stage for stage in GRID if stage != "paper_settings"]
    with pytest.raises(StudyError, match=rf"failed: {file} is malformed \(not what was written\): "):
        _dvc("repro")


def test_the_output_of_a_stage_is_reported(checkout: Path) -> None:
    """DVC's own last words are only that a command failed."""
    file = sorted(Path("results/demo").rglob("metrics.parquet"))[0]
    file.unlink()
    with pytest.raises(StudyError) as caught:
        _dvc("repro", "demo/dvc.yaml")
    for part in ("dvc repro demo/dvc.yaml", f"{file} is missing", "`dvc checkout results/demo.dvc`"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_dvc_repository_it_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    configs = configs_of(tmp_path)
    for config, arm in zip(configs, FINAL, strict=True):
        write_run(run_folder(config) / "results", "grpo", arm, 0, {0: [0], 2: [1]})
    with pytest.raises(StudyError, match=r"dvc add results/demo failed: .*not inside of a DVC repository") as caught:
        publish(configs, "demo")
    assert "\n" not in str(caught.value)
