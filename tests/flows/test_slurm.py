"""SLURM: the job script without a cluster, and the whole way through the launcher with stand-ins for SLURM's commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from flows.__main__ import main
from flows.configure.compose import CONF, compose
from flows.job import run_job
from flows.launch.command import read_command
from flows.launch.execution import execute
from flows.launch.launchers import launcher_of
from flows.launch.slurm import Slurm, refusal
from flows.launch.slurm_settings import slurm_settings
from pipelines.config import RunConfig
from pipelines.run_folder import is_finished, run_folder
from tests.flows.first_launch import SMALL, without_prefect
from tests.flows.launches import launched
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
    assert f"ray={Path(sys.executable).parent}/ray" in lines


def test_the_command_line_wins(capsys: pytest.CaptureFixture[str]) -> None:
    lines = script([*LARGE, "hydra.launcher.gpus_per_node=4", "+hydra.launcher.additional_parameters.nodes=8"], capsys)
    assert "#SBATCH --gpus-per-node=4" in lines
    assert "#SBATCH --nodes=8" in lines


def test_a_job_without_gpus_asks_for_none(capsys: pytest.CaptureFixture[str]) -> None:
    for policy in ("local", "openrlhf"):
        lines = script(["-m", f"policy={policy}", "hydra/launcher=slurm"], capsys)
        assert "#SBATCH --nodes=1" in lines
        assert not any("gpus" in line or "--array" in line for line in lines)


def test_generation_alone_asks_for_its_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate = ["-m", "policy=vllm", "training.iterations=0", "hydra/launcher=slurm"]
    assert "#SBATCH --gpus-per-node=1" in script(evaluate, capsys)
    assert "#SBATCH --gpus-per-node=2" in script([*evaluate, "policy.tensor_parallel=2"], capsys)
    none = script([*evaluate, "hydra.launcher.gpus_per_node=0"], capsys)  # of vLLM without a GPU
    assert not any("gpus" in line for line in none)


RAY = """#!/bin/bash
# Tells what it is asked for; as a worker is given the signal that SLURM sends to every step.
echo "ray $*" >>told
[[ $* == *--block ]] && kill -USR2 $$ && sleep 0.1
echo "goes on" >>told
"""


def test_the_users_lines_come_first_then_a_ray_over_the_nodes_that_outlives_the_signal(
    tmp_path: Path, cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin" / "ray").write_text(RAY)
    (tmp_path / "bin" / "ray").chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    own = r"""hydra.launcher.setup=['echo "it\'s $MARK \${MARK}" >>told']"""
    lines = script([*LARGE, own], capsys)
    setup = lines[lines.index("# setup") + 1 : lines.index("# command")]
    slurm = {
        "SLURM_JOB_NUM_NODES": "4",
        "SLURM_JOB_ID": "20007",
        "SLURMD_NODENAME": "first",
        "SLURM_CPUS_PER_TASK": "32",
    }
    text = "\n".join([*setup, "wait", 'echo "$RAY_ADDRESS" >>told'])
    subprocess.run(["bash", "-c", text], cwd=tmp_path, env={**cluster, **slurm, "MARK": "mine"}, check=True)
    assert (tmp_path / "told").read_text().splitlines() == [
        "it's mine mine",
        "ray start --head --port=20007 --node-ip-address=first", "goes on",  # 20000 + 20007 % 20000
        "ray start --address=first:20007 --block", "goes on",
        "first:20007",
    ]  # fmt: skip


def test_one_node_needs_no_ray_over_nodes(tmp_path: Path, cluster: dict[str, str]) -> None:
    text = f'ray=false; set -e; . {CONF.parent / "flows" / "launch" / "slurm_ray.sh"}; echo "[$RAY_ADDRESS]"'
    told = subprocess.run(
        ["bash", "-c", text], env={**cluster, "SLURM_JOB_NUM_NODES": "1"}, capture_output=True, text=True, check=True
    )
    assert told.stdout == "[]\n"


def test_the_script_is_bash(capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["bash", "-n"], input="\n".join(script(LARGE, capsys)), text=True, check=True)


def test_cells_of_other_shapes_are_another_array(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = "+experiment=table1/alfworld_1.5b_grpo_off,table1/alfworld_7b_grpo_off,table2/deepsearch_32b_dapo_off"
    assert main(["-m", sizes, "seed=0,1", "scale=paper", "hydra/launcher=slurm", "plan=true"]) == 0
    told = capsys.readouterr().out
    scripts = told.split("submitted as 2 jobs:")[1:]
    assert [re.findall("--(?:nodes|gpus-per-node|array)=[0-9-]+", script)[:3] for script in scripts] == [
        ["--array=0-1", "--gpus-per-node=4", "--nodes=1"],
        ["--array=0-1", "--gpus-per-node=8", "--nodes=1"],
        ["--array=0-1", "--gpus-per-node=8", "--nodes=4"],
    ]


class Array:
    """Of submitted jobs: each ends with the error of its place."""

    def __init__(self, errors: Sequence[Exception | None]) -> None:
        self.errors = errors

    def __iter__(self) -> Iterator[Array]:
        return iter(Array([error]) for error in self.errors)

    def result(self) -> None:
        if self.errors[0] is not None:
            raise self.errors[0]


def test_a_job_that_is_lost_and_an_array_that_is_refused_stop_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What SLURM says of a job is the reason of its run alone; of an array that it refuses, of the array's runs."""
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, UncompletedJobError

    models = "model=qwen2.5_1.5b,qwen2.5_7b,qwen2.5_32b"
    command = read_command(
        ["-m", "scale=paper", f"execution.runs={tmp_path}", models, "seed=0,1", "hydra/launcher=slurm"]
    )
    settings = slurm_settings(launcher_of(command))
    assert settings is not None
    submitted: list[tuple[str, int, int]] = []

    def map_array(executor: SlurmExecutor, job: object, configs: Sequence[RunConfig]) -> Array:
        asked = executor.parameters
        submitted.append(
            (configs[0].experiment.model.name, asked["gpus_per_node"], asked["additional_parameters"]["nodes"])
        )
        match len(submitted):
            case 1:
                return Array([UncompletedJobError("node failed\nsee the log"), None])
            case 2:
                raise FailedJobError("no such partition")
        return Array([None, None])

    monkeypatch.setattr(SlurmExecutor, "map_array", map_array)
    failures = execute(Slurm(settings, run_job), command.jobs)
    assert submitted == [("qwen2.5-1.5b", 4, 1), ("qwen2.5-7b", 8, 1), ("qwen2.5-32b", 8, 4)]
    reasons = {(f.job.config.experiment.model.name, f.job.config.experiment.seed): f.reason for f in failures}
    assert "node failed" in reasons["qwen2.5-1.5b", 0]
    assert str(tmp_path) in reasons["qwen2.5-1.5b", 0]  # its logs
    assert "no such partition" in reasons["qwen2.5-7b", 0]
    assert "no such partition" in reasons["qwen2.5-7b", 1]
    for silent in (("qwen2.5-1.5b", 1), ("qwen2.5-32b", 0), ("qwen2.5-32b", 1)):
        assert "killed" in reasons[silent]
    told = capsys.readouterr().err.splitlines()
    assert told == [f"error: {reasons[f'qwen2.5-{size}', 0]}" for size in ("1.5b", "7b")]


def test_a_job_whose_time_is_over_is_queued_again(tmp_path: Path) -> None:
    """With the same run: it continues where it was. The job and its configuration travel to the node as they are."""
    import pickle

    from flows.launch.slurm import SlurmJob

    ran: list[RunConfig] = []
    config = compose(["scale=smoke", f"execution.runs={tmp_path}"])
    again = SlurmJob(ran.append).checkpoint(config)
    again.result()
    assert ran == [config]
    job, travelled = pickle.loads(pickle.dumps((SlurmJob(run_job), config)))
    assert travelled == config
    assert job._run is run_job


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.launcher.mem_gb=lots", "hydra.launcher.mem_gb = 'lots': Input should be a valid number"),
        ("hydra.launcher.mem_gb=0", "hydra.launcher.mem_gb = 0: Input should be greater than 0"),
        ("hydra.launcher.mem_gb=true", "hydra.launcher.mem_gb = True: write a number"),
        ("hydra.launcher.timeout_min=[1,2]", r"hydra.launcher.timeout_min = \[1, 2\]: Input should be a valid integer"),
        ("hydra.launcher.timeout_min=5", "signal_delay_s=300 before the end of timeout_min=5 is before the start"),
        ("hydra.launcher.cpus_per_task=-1", "hydra.launcher.cpus_per_task = -1: Input should be greater than 0"),
        ("hydra.launcher.array_parallelism=0", "hydra.launcher.array_parallelism = 0: Input should be greater than 0"),
        ("hydra.launcher.gpus_per_node=-1", "hydra.launcher.gpus_per_node = -1: Input should be greater than or"),
        ("hydra.launcher.nodes=4", "hydra.launcher.nodes = 4: .*a job's nodes are policy.cluster.nodes"),
        ("hydra.launcher.tasks_per_node=8", "hydra.launcher.tasks_per_node = 8: .*submitit starts one process"),
        ("+hydra.launcher.foo=1", "unknown key hydra.launcher.foo; .*additional_parameters.<option>=…"),
        ("+hydra.launcher.additional_parameters.x=[1]", "hydra.launcher.additional_parameters: x is an option of sb"),
        ("hydra.launcher.partition=a,b", "hydra.launcher.partition=a,b: a launch has one launcher"),
        ("hydra.launcher.partition=${HOME}", r"hydra.launcher.partition: \$\{HOME\} is no value of the configuration"),
        ("~hydra.launcher.name", "hydra.launcher.name is missing"),
        ("hydra.launcher=3", "hydra.launcher is a section: choose it with hydra/launcher=slurm"),
        ("hydra/launcher=submitit_slurm", "hydra/launcher=submitit_slurm knows nothing of policy.cluster: choose"),
    ],
)
def test_a_launchers_wrong_value_is_one_line(
    override: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = [] if override.startswith("hydra/") else ["hydra/launcher=slurm"]
    assert main(["-m", "scale=smoke", *chosen, override, "plan=true"]) == 2
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert re.search(f"^error: .*{message}", line)
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_value_is_reported_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    done = run("-m", "scale=paper", "hydra/launcher=slurm", "hydra.launcher.mem_gb=lots", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == ["heavy: []"]


def test_a_job_looks_for_its_own_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The login node need not have any: the node where the job starts must."""
    launched(tmp_path / "launch", monkeypatch)
    monkeypatch.setattr("pipelines.policies.openrlhf.planning.machine.visible_gpus", list)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("flows.job._run", lambda config, launch: pytest.fail("it was started"))
    run_job(compose(["scale=paper", f"execution.runs={tmp_path}"]))
    assert "paper-qwen2.5-1.5b needs 4 GPUs" in capsys.readouterr().err


def test_the_plan_starts_nothing(tmp_path: Path) -> None:
    done = run(*LARGE, "plan=true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "heavy: []\n"
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- with stand-ins for SLURM's commands

SBATCH = """#!/bin/bash
# Keeps the script, as SLURM does: submitit moves its own away meanwhile. Runs it as the jobs of an array, and notes which ended.
cp "$1" script.sh
most=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
for task in $(seq 0 "$most"); do
  (
    SLURM_JOB_ID=$((78 + task)) SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=$task SLURM_JOB_NUM_NODES=1 SLURM_NTASKS=1 \\
      SLURM_PROCID=0 SLURM_NODEID=0 SLURM_LOCALID=0 SLURM_JOB_NODELIST=here bash script.sh
    [ $? = 0 ] && echo COMPLETED >ended$task || echo FAILED >ended$task
  ) >log$task 2>&1 &
done
echo "Submitted batch job 77"
"""
REFUSING = """#!/bin/sh
echo 'sbatch: error: invalid partition specified: a100' >&2
echo 'sbatch: error: Batch job submission failed' >&2
exit 3
"""
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do [ "$1" = --output ] && shift; shift; done
exec "$@"
"""
SACCT = """#!/bin/bash
# A job's state once it has ended; before, or where a test says how the job ends, what the test says.
echo 'JobID|State|NodeList'
for task in 0 1; do
  state=$(cat state)
  [ "$state" = RUNNING ] && [ -e ended$task ] && state=$(cat ended$task)
  echo "77_$task|$state|here"
done
"""
CELLS = [*SMALL, "tracker=[]"]


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


# submitit waits half a minute for the results of a job that is lost, for a file system may be late. Here none is.
IMPATIENT = """
import submitit
from flows.__main__ import leave, main
submitit.SlurmJob._results_timeout_s = 0
leave(main())
"""


def flows(
    arguments: list[str], cwd: Path, environment: dict[str, str], *start: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(start or ("-m", "flows")), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, timeout=500)


@pytest.mark.timeout(900)
def test_jobs_are_submitted_run_and_reported(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    cluster: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One of the two has a folder of games without a game and fails alone; the script is what the plan had printed."""
    without_prefect(tmp_path, tmp_path_factory)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "games" / "json_2.1.1" / "train").mkdir(parents=True)
    cluster["ALFWORLD_DATA"] = str(tmp_path / "games")
    sweep = ["-m", *CELLS, "data=dozen,real", "hydra.launcher.setup=[touch set-up]", "hydra/launcher=slurm"]
    done = flows(sweep, tmp_path, cluster)
    logs = "".join(path.read_text() for path in tmp_path.glob("log*"))
    assert done.returncode == 1, done.stderr + logs
    good = compose([*CELLS, "data=dozen"])
    assert is_finished(good), done.stderr + logs
    assert f"finished: {run_folder(good)}" in done.stdout
    assert "1 of 2 runs failed:" in done.stderr
    unwrapped = "".join(re.findall(r"[^\s│]+", done.stderr))  # the table of failures breaks lines anywhere
    assert "json_2.1.1/trainholdsnoplayablegame" in unwrapped
    assert "Traceback" not in done.stderr
    assert (tmp_path / "set-up").exists()
    assert [path for path in (tmp_path / "runs" / ".launches").iterdir() if path.is_dir()] == []
    assert (tmp_path / "script.sh").read_text().splitlines() == script(sweep, capsys)
    monkeypatch.setenv("PATH", cluster["PATH"])
    assert main([*sweep[:-3], "data=dozen", sweep[-1]]) == 0
    assert f"done already: {run_folder(good)}" in capsys.readouterr().out


@pytest.mark.timeout(600)
def test_a_refused_and_a_lost_job_are_one_line(tmp_path: Path, cluster: dict[str, str]) -> None:
    (tmp_path / ".prefect").write_text("a file")  # both launches go on without Prefect's server
    sweep = ["-m", *CELLS, "seed=0,1", "hydra/launcher=slurm"]
    (tmp_path / "bin" / "srun").write_text("#!/bin/sh\nexit 1\n")  # its process dies
    (tmp_path / "state").write_text("NODE_FAIL")
    lost = flows(sweep, tmp_path, cluster, "-c", IMPATIENT)
    assert lost.returncode == 1
    assert "Traceback" not in lost.stderr
    assert "error: SLURM: " in lost.stderr
    (tmp_path / "bin" / "sbatch").write_text(REFUSING)
    refused = flows(sweep, tmp_path, cluster)
    assert refused.returncode == 1
    (line,) = (line for line in refused.stderr.splitlines() if line.startswith("error: "))
    for part in ("exit code 3", "invalid partition specified: a100", "Batch job submission failed", "plan=true"):
        assert part in line
    assert "Traceback" not in refused.stderr
    for said in (lost.stderr, refused.stderr):
        assert "2 of 2 runs failed:" in said
        assert "warning: Prefect's server " in said


@pytest.mark.parametrize(
    ("words", "said"), [("echo no; echo 'not now' >&2", "not now"), ("echo no", "no"), (":", "no reason")]
)
def test_what_sbatch_says_when_it_refuses(words: str, said: str) -> None:
    from submitit.core.utils import CommandFunction, FailedJobError

    with pytest.raises(FailedJobError) as caught:
        CommandFunction(["sh", "-c", f"{words}; exit 3"], verbose=False)()
    reason = refusal(caught.value)
    assert "exit code 3" in reason
    assert said in reason
    assert "plan=true" in reason


def test_the_launchers_file_is_there() -> None:
    assert (CONF / "hydra" / "launcher" / "slurm.yaml").is_file()
