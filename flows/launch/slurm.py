"""Jobs of a SLURM cluster (``hydra/launcher=slurm``), through submitit: what they ask for, their script, and their failures.

Runs that need the same nodes and GPUs are an array of equal jobs; others are an array of their own, submitted when the one before
has ended.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.launch.jobs import Job
from flows.launch.launcher import Launcher, Run
from flows.launch.slurm_settings import SlurmSettings
from pipelines.config import RunConfig
from pipelines.errors import ConfigError
from pipelines.sections import Machines


class Slurm(Launcher):
    """``run``: what a job calls with its configuration, on its node."""

    def __init__(self, settings: SlurmSettings, run: Run) -> None:
        self._settings, self._run = settings, run

    def batches(self, jobs: Sequence[Job]) -> list[list[Job]]:
        groups: dict[Machines, list[Job]] = {}
        for job in jobs:
            groups.setdefault(job.config.experiment.policy.machines, []).append(job)
        return list(groups.values())

    def execute(self, jobs: Sequence[Job]) -> dict[Path, str]:
        """Submit an array and wait for all of its jobs."""
        from submitit.core import utils

        executor = self._executor(jobs)
        utils.print = lambda *_, **__: None  # type: ignore[attr-defined]  # sbatch's output, which it raises too
        try:
            submitted = executor.map_array(SlurmJob(self._run), [job.config for job in jobs])
        except (utils.FailedJobError, utils.FailedSubmissionError) as error:
            return dict.fromkeys([job.folder for job in jobs], refusal(error))
        finally:
            del utils.print  # type: ignore[attr-defined]
        losses = {job.folder: self._loss(each) for job, each in zip(jobs, submitted, strict=True)}
        return {folder: reason for folder, reason in losses.items() if reason is not None}

    def script(self, jobs: Sequence[Job]) -> str:
        """What would be handed to sbatch, made by submitit itself."""
        executor = self._executor(jobs)
        if len(jobs) > 1:
            executor.parameters["map_count"] = len(jobs)
        return str(executor._make_submission_file_text(executor._submitit_command_str, ""))

    def _executor(self, jobs: Sequence[Job]) -> Any:
        """For an array of these jobs: GPUs and nodes are those of the runs' policy, where the settings say nothing, and after the
        user's own set-up a Ray spans all nodes."""
        from submitit import SlurmExecutor

        class Executor(SlurmExecutor):
            @classmethod
            def affinity(cls) -> int:
                return 1  # also without srun on PATH, for the script alone

        machines = jobs[0].config.experiment.policy.machines
        asked = self._settings.for_sbatch()
        ray = f"ray={shlex.quote(str(Path(sys.executable).with_name('ray')))}"
        lines = [*asked["setup"], ray, Path(__file__).with_name("slurm_ray.sh").read_text("utf-8").rstrip()]
        if machines.gpus and self._settings.gpus_per_node is None:
            asked["gpus_per_node"] = machines.gpus
        asked |= {"setup": lines, "additional_parameters": {"nodes": machines.nodes} | asked["additional_parameters"]}
        executor = Executor(self._settings.submitit_folder, max_num_timeout=self._settings.max_num_timeout)
        executor.update_parameters(**executor._convert_parameters(asked))
        return executor

    def _loss(self, submitted: Any) -> str | None:
        """Why a job ended without a result, once it has ended; None where it has one."""
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            submitted.result()
        except (FailedJobError, UncompletedJobError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            logs = Path(self._settings.submitit_folder).parent
            return f"SLURM: {lines[0] if lines else type(error).__name__} (logs: {logs}); the same launch continues what is left"
        return None


class SlurmJob:
    """One run, in the process that submitit starts on the job's first node."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, config: RunConfig) -> None:
        self._run(config)

    def checkpoint(self, config: RunConfig) -> Any:
        """submitit asks before the job's time is over: it is queued again, and the run continues where it was."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, config)


def check_slurm() -> None:
    """Raises ConfigError: SLURM's commands are not here."""
    missing = [command for command in ("sbatch", "srun") if shutil.which(command) is None]
    if missing:
        raise ConfigError(
            f"hydra/launcher=slurm needs {missing[0]}, which is not on PATH: launch on the cluster's login node, or see the "
            "job script with plan=true"
        )


def refusal(error: Exception) -> str:
    """Why sbatch refused the jobs, by its output."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    sbatch = error.__cause__
    code = ""
    if isinstance(sbatch, subprocess.CalledProcessError):
        code = f" (exit code {sbatch.returncode})"
        lines = lines or [f"{sbatch.output}".strip() or "it gave no reason"]
    return (
        f"sbatch refused the jobs{code}: {'; '.join(lines)}; nothing was submitted, see the job script with plan=true"
    )
