"""SLURM: the job script without a cluster, and the whole way through the launcher with stand-ins for SLURM's commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.__main__ import main
from flows.compose import CONF, compose
from pipelines.run_folder import is_finished, run_folder
from tests.flows.test_command_line import environment, run

LARGE = ["-m", "scale=paper", "model=qwen2.5_32b", "seed=0,1,2", "hydra/launcher=slurm"]


def script(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines of the job script that the plan prints."""
    assert main([*arguments, "plan=true"]) == 0
    lines = capsys.readouterr().out.splitlines()
    return lines[lines.index("#!/bin/bash") :]


def test_the_script_asks_for_the_clusters_nodes_and_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    lines = script([*LARGE, "hydra.launcher.partition=a100", "hydra.launcher.mem_gb=900"], capsys)
    for asked in (
        "--array=0-2%3", "--nodes=4", "--gpus-per-node=8", "--ntasks-per-node=1", "--cpus-per-task=32", "--time=1440",
        "--partition=a100", "--mem=900GB", "--signal=USR2@300", "--job-name=empg",
    ):  # fmt: skip
        assert f"#SBATCH {asked}" in lines
    (command,) = (line for line in lines if "submitit.core._submit" in line)
    assert command.startswith("srun ")
    assert " --nodes=1 --ntasks=1 --overlap --cpus-per-task=32 " in command
    assert f" {sys.executable} -u -m submitit.core._submit " in command
    assert any(line.lstrip().startswith(f"{Path(sys.executable).parent}/ray start --head") for line in lines)


def test_what_is_said_on_the_command_line_wins(capsys: pytest.CaptureFixture[str]) -> None:
    lines = script([*LARGE, "hydra.launcher.gpus_per_node=4", "+hydra.launcher.additional_parameters.nodes=8"], capsys)
    assert "#SBATCH --gpus-per-node=4" in lines
    assert "#SBATCH --nodes=8" in lines


def test_a_job_without_gpus_asks_for_none(capsys: pytest.CaptureFixture[str]) -> None:
    for policy in ("local", "openrlhf"):
        lines = script(["-m", f"policy={policy}", "hydra/launcher=slurm"], capsys)
        assert "#SBATCH --nodes=1" in lines
        assert not any("gpus" in line or "--array" in line for line in lines)


def test_the_script_is_bash(capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["bash", "-n"], input="\n".join(script(LARGE, capsys)), text=True, check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-m", "scale=paper", "model=qwen2.5_7b,qwen2.5_32b", "plan=true"],
            "these cells need 1 × 8 GPUs, 4 × 8 GPUs: launch",
        ),
        (["scale=smoke"], "hydra/launcher=slurm submits the runs of a multirun: add -m"),
        (["-m", "scale=smoke"], "hydra/launcher=slurm needs sbatch, which is not on PATH"),
        (["-m", "scale=paper", "policy.cluster.gpu.memory_gib=8"], "does not fit"),
        (
            ["-m", "hydra.launcher.partitoin=a"],
            "unknown key hydra.launcher.partitoin; did you mean hydra.launcher.partition?",
        ),
    ],
)
def test_a_launch_that_cannot_be_is_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([*arguments, "hydra/launcher=slurm"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_the_plan_starts_nothing(tmp_path: Path) -> None:
    done = run(*LARGE, "plan=true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "heavy: []\n"
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- with stand-ins for SLURM's commands

SBATCH = """#!/bin/bash
# Keeps the script, and runs it as the jobs of an array.
cp "$1" script.sh
most=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
for task in $(seq 0 "$most"); do
  SLURM_JOB_ID=$((78 + task)) SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=$task SLURM_JOB_NUM_NODES=1 SLURM_NTASKS=1 \\
    SLURM_PROCID=0 SLURM_NODEID=0 SLURM_LOCALID=0 SLURM_JOB_NODELIST=here bash "$1" >"log$task" 2>&1 &
done
echo "Submitted batch job 77"
"""
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do [ "$1" = --output ] && shift; shift; done
exec "$@"
"""
SACCT = """#!/bin/bash
echo 'JobID|State|NodeList'
for task in 0 1; do echo "77_$task|$(cat state)|here"; done
"""
CELLS = ["scale=smoke", "policy=scripted", "training.iterations=1", "warm_start=null", "benchmark.max_steps=2"]


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """The environment of a login node."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (tmp_path / "state").write_text("RUNNING")
    return environment() | {"PATH": f"{folder}:{os.environ['PATH']}"}


def flows(arguments: list[str], cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, timeout=500)


@pytest.mark.timeout(900)
def test_jobs_are_submitted_run_and_told(
    tmp_path: Path, cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of the two has a folder of games without a game and fails alone; the script is what the plan had printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "games" / "json_2.1.1" / "train").mkdir(parents=True)
    cluster["ALFWORLD_DATA"] = str(tmp_path / "games")
    sweep = ["-m", *CELLS, "data=dozen,real", "hydra/launcher=slurm"]
    done = flows(sweep, tmp_path, cluster)
    logs = "".join(path.read_text() for path in tmp_path.glob("log*"))
    assert done.returncode == 1, done.stderr + logs
    good = compose([*CELLS, "data=dozen"])
    assert is_finished(good), done.stderr + logs
    assert f"finished: {run_folder(good)}" in done.stdout
    assert "1 of 2 runs failed:" in done.stderr
    assert "json_2.1.1/train holds no playable game" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "runs" / ".slurm").glob("empg-launch-*")) == []
    assert (tmp_path / "script.sh").read_text().splitlines() == script(sweep, capsys)
    again = flows([*sweep[:-2], "data=dozen", sweep[-1]], tmp_path, cluster)
    assert again.returncode == 0, again.stderr
    assert f"done already: {run_folder(good)}" in again.stdout


@pytest.mark.timeout(600)
def test_a_refused_and_a_lost_job_are_one_line(tmp_path: Path, cluster: dict[str, str]) -> None:
    sweep = ["-m", *CELLS, "seed=0,1", "hydra/launcher=slurm"]
    (tmp_path / "bin" / "srun").write_text("#!/bin/sh\nexit 1\n")  # its process dies
    (tmp_path / "state").write_text("NODE_FAIL")
    lost = flows(sweep, tmp_path, cluster)
    assert lost.returncode == 1
    assert "Traceback" not in lost.stderr
    assert "error: SLURM: " in lost.stderr
    assert "the same launch continues what is left" in lost.stderr
    (tmp_path / "bin" / "sbatch").write_text(
        "#!/bin/sh\necho 'sbatch: error: invalid partition specified: a100' >&2; exit 1\n"
    )
    refused = flows(sweep, tmp_path, cluster)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "invalid partition specified: a100" in refused.stderr


def test_the_launchers_file_is_there() -> None:
    assert (CONF / "hydra" / "launcher" / "slurm.yaml").is_file()
