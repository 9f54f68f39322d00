"""The folder of a registered study, ``results/study/<name>``: its registration from before the first run, and what its runs gave, in
tables small enough for git. Sealed with ``SHA256SUMS`` at every writing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from pipelines.errors import DataError
from pipelines.files import damaged_file, replaced_folder, write_checksums, write_json
from pipelines.reporting.results import RunResult, check_measured_alike, machines_of, outcomes
from pipelines.reporting.study.registration import Registration, Size, read_registration, sha256_of, size_of
from pipelines.sections import Section

YAML, REGISTERED, GAMES, ROLLOUTS, RUNS = (
    "registration.yaml", "registered.json", "games.parquet", "rollouts.parquet", "runs.csv",
)  # fmt: skip
_PAIR = ["warm_start", "seed"]


class RegisteredRun(Section):
    """``folder``: the run's, below that of all runs. ``fingerprint``: of every setting that bears on its numbers."""

    arm: str
    warm_start: int
    seed: int
    folder: str
    fingerprint: str


class Registered(Section):
    """What was written before the first run. ``registration``: the SHA-256 of the YAML, ``composed``: of the fingerprints of all
    runs that it composes to. ``commit``: of the code then. ``machine``: the kind of machine that all runs must be made on.
    ``core_hours``: what a launch reckoned for all of it. ``runs_folder``: of all runs, as it was given, so that nobody registers anew
    where those runs are not looked for."""

    registration: str
    composed: str
    commit: str
    registered: str
    machine: dict[str, str]
    hours: int
    core_hours: float
    runs_folder: str
    runs: tuple[RegisteredRun, ...]


@dataclass(frozen=True)
class Played:
    """``games``: a row per run and held-out task, solved before training (``start``) and at the end (``end``). ``rollouts``: a row per
    run and iteration, the share of its episodes that were solved. ``runs``: a row per run: commit of the code, and seconds of its
    process, NaN where nobody measured them."""

    games: pd.DataFrame
    rollouts: pd.DataFrame
    runs: pd.DataFrame

    def solved(self, arm: str, at: str = "end") -> pd.DataFrame:
        """[runs, tasks], by warm start and seed, and by the tasks' names; both sorted."""
        return self.games[self.games["arm"] == arm].pivot(index=_PAIR, columns="task", values=at).sort_index()

    def last_rollouts(self, arm: str, count: int) -> pd.DataFrame:
        """The mean success of the last ``count`` iterations [runs, 1], by warm start and seed."""
        own = self.rollouts[self.rollouts["arm"] == arm]
        last = own[own["iteration"] > own["iteration"].max() - count]
        return last.groupby(_PAIR)[["success"]].mean().sort_index()


def starts_of(table: pd.DataFrame) -> list[int]:
    """The warm start of each run of it."""
    return [int(start) for start, _ in table.index]


@dataclass(frozen=True)
class Study:
    """``played``: None before all runs are finished."""

    name: str
    registration: Registration
    registered: Registered
    played: Played | None

    @property
    def size(self) -> Size:
        return size_of(self.registration, self.registered.hours)


def composed_of(runs: Sequence[RegisteredRun]) -> str:
    """The SHA-256 of all runs: of every setting that bears on their numbers."""
    return sha256_of(json.dumps([run.values() for run in runs], sort_keys=True).encode())


def write_registered(folder: Path, content: bytes, registered: Registered) -> None:
    """``content``: the YAML's. What a former registration of this folder left is gone."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replaced_folder(folder) as draft:
        (draft / YAML).write_bytes(content)
        write_json(draft / REGISTERED, registered.values())
        write_checksums(draft)


def read_registered(folder: Path) -> Registered:
    """Raises DataError: the folder is not as it was written."""
    try:
        if (damaged := damaged_file(folder)) is not None:
            raise ValueError(f"{damaged} is not what was written")
        return Registered.model_validate_json((folder / REGISTERED).read_bytes())
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split()) if not isinstance(error, ValidationError) else f"{REGISTERED} is malformed"
        raise DataError(f"{folder} is damaged ({why}): git checkout -- {folder} where it is committed") from None


def judged(content: bytes, folder: Path) -> Registered | None:
    """The registration of the study with this YAML, if it has its results there. Raises DataError: the folder is not as it was
    written."""
    registered = read_registered(folder) if (folder / GAMES).exists() else None
    return registered if registered is not None and registered.registration == sha256_of(content) else None


def write_played(folder: Path, played: Played) -> None:
    """Beside the registration that is there."""
    with replaced_folder(folder) as draft:
        for name in (YAML, REGISTERED):
            shutil.copyfile(folder / name, draft / name)
        played.games.to_parquet(draft / GAMES, index=False, compression="zstd")
        played.rollouts.to_parquet(draft / ROLLOUTS, index=False, compression="zstd")
        played.runs.to_csv(draft / RUNS, index=False, lineterminator="\n")
        write_checksums(draft)


def read_study_folder(folder: Path) -> Study:
    """Raises DataError: the folder is not as it was written. ConfigError: today's code cannot read its registration."""
    registered = read_registered(folder)
    played = None
    if (folder / GAMES).exists():
        tables = [pd.read_parquet(folder / GAMES), pd.read_parquet(folder / ROLLOUTS), _read_runs(folder)]
        played = Played(*tables)
    for wrong in _mismatches(folder, registered, played):
        raise DataError(
            f"{folder} is not what was registered ({wrong}): git checkout -- {folder} where it is committed"
        )
    return Study(folder.resolve().name, read_registration(folder / YAML), registered, played)


def _mismatches(folder: Path, registered: Registered, played: Played | None) -> Iterator[str]:
    """A seal tells what was damaged, and not what was changed and sealed anew."""
    if (found := sha256_of((folder / YAML).read_bytes())) != registered.registration:
        yield f"{YAML} has the SHA-256 {found[:12]}, registered is {registered.registration[:12]}"
    if (found := composed_of(registered.runs)) != registered.composed:
        yield f"the runs of {REGISTERED} have the SHA-256 {found[:12]}, registered is {registered.composed[:12]}"
    if played is None:
        return
    runs = sorted((run.arm, run.warm_start, run.seed) for run in registered.runs)
    for name, table in ((GAMES, played.games), (ROLLOUTS, played.rollouts), (RUNS, played.runs)):
        found_runs = sorted(table[["arm", *_PAIR]].drop_duplicates().itertuples(index=False, name=None))
        if found_runs != runs:
            yield f"{name} has other runs: {len(found_runs)}, registered are {len(runs)}"


def _read_runs(folder: Path) -> pd.DataFrame:
    """A commit of digits alone is no number."""
    return pd.read_csv(folder / RUNS, dtype={"commit": str})


def gather(registered: Registered, runs: Sequence[RunResult], seconds: Sequence[float], tasks: int) -> Played:
    """The tables of finished runs, in the order of the registration; ``seconds`` of each. Raises DataError: a run is not the registered
    one, was made on another kind of machine, or played other tasks."""
    games, rollouts, told = [], [], []
    for of, run, spent in zip(registered.runs, runs, seconds, strict=True):
        _check(of, run, registered, tasks)
        who = {"arm": of.arm, "warm_start": of.warm_start, "seed": of.seed}
        start, end = (outcomes([run], "success", at)[0][0] for at in (0, None))
        names = sorted(run.evaluations["task_id"].unique())
        games.append(pd.DataFrame({**who, "task": names, "start": start == 1, "end": end == 1}))
        success = run.metrics[["iteration", "rollout/success"]].dropna().rename(columns={"rollout/success": "success"})
        rollouts.append(success.assign(**who)[[*who, "iteration", "success"]])
        told.append({**who, "commit": run.info.commit, "seconds": spent})
    check_measured_alike(runs)
    outcomes(runs, "success")  # all of them played one panel
    return Played(pd.concat(games, ignore_index=True), pd.concat(rollouts, ignore_index=True), pd.DataFrame(told))


def _check(of: RegisteredRun, run: RunResult, registered: Registered, tasks: int) -> None:
    again = "remove its folder and give the same command again"
    if run.info.fingerprint != of.fingerprint:
        raise DataError(f"{run.folder} is not the run that was registered: {again}")
    if machines_of(run) != [registered.machine]:
        raise DataError(
            f"{run.folder} was made on another kind of machine than the study was registered on ({_cpus(machines_of(run))}; "
            f"{registered.machine.get('cpu', 'not known')}): kinds are never paired, {again} there"
        )
    if run.info.panel_size != tasks:
        raise DataError(f"{run.folder} played {run.info.panel_size} tasks, registered are {tasks}: {again}")


def _cpus(machines: Sequence[Mapping[str, str]]) -> str:
    return " and ".join(machine.get("cpu", "not recorded") for machine in machines)
