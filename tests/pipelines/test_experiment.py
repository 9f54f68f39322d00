"""A whole run on the genuine engine with a tiny genuine model: exact, resumable, traceable."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipelines.cpu import kind_of_machine
from pipelines.errors import CorruptArtifact, NonFiniteLoss, RunLocked, StoreFull
from pipelines.experiment import is_finished, run_experiment, run_folder
from pipelines.files import read_json
from pipelines.progress import Work
from pipelines.run_folder import run_lock
from pipelines.run_info import read_run_info
from pipelines.versions import STAGES
from tests.empg.reference import empg
from tests.pipelines.kills import Launches
from tests.pipelines.runs import Quiet, T, damage, digests, flip, remedied, small_config, small_run, with_data


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory)


def test_the_same_run_twice_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """Whatever says how it is executed: the second has two processes that play."""
    config = small_config(tmp_path)
    workers = config.model_copy(update={"execution": config.execution.model_copy(update={"environment_workers": 2})})
    run_experiment(workers, Quiet())
    assert digests(tmp_path) == digests(finished)
    assert any(name.endswith("model.safetensors") and name.startswith("artifacts/update") for name in digests(finished))


def test_another_seed_moves_the_numbers(finished: Path, tmp_path: Path) -> None:
    with_data(finished, tmp_path)
    run_experiment(small_config(tmp_path, seed=1), Quiet())
    first, second = (pd.read_parquet(next((root / "runs").rglob("metrics.parquet"))) for root in (finished, tmp_path))
    assert not first["update/loss"].equals(second["update/loss"])


def test_progress_never_runs_backwards(tmp_path: Path) -> None:
    """Also after an evaluation, and when a rollout fails half-way and is tried again."""
    told: list[tuple[Work, str]] = []

    class Watching(Quiet):
        failed = False

        def progress(self, work: Work, text: str) -> None:
            told.append((work, text))
            if text.startswith("rollout, success ") and work.done > told[-2][0].done and not self.failed:
                self.failed = True
                raise OSError("too many open files")

        def stage(self, name: str, iteration: int | None, work: Callable[[], T], *, retries: int = 0) -> T:
            try:
                return work()
            except OSError:
                return work()

    steps = {"training__tasks": 4, "training__group_size": 12, "data__valid_unseen": 24, "evaluation__games": 24}
    observer = Watching()
    run_experiment(small_config(tmp_path, **steps), observer)
    assert observer.failed
    shares = [work.done for work, _ in told]
    assert shares == sorted(shares)
    # An iteration plays 48 episodes in 60 % of its time: each of the three evaluations, of 24, takes 30 %.
    assert {round(work.total, 6) for work, _ in told} == {2.9}
    assert shares[-1] == pytest.approx(2.9)
    assert told[-1][0].worked == pytest.approx(2.9)
    evaluated = [work.done for work, text in told if text.startswith("evaluate")]
    assert (evaluated[0], evaluated[-1]) == (0.0, pytest.approx(2.9))


def test_what_is_found_is_done_and_not_worked(finished: Path, tmp_path: Path) -> None:
    """A run that goes on where another was: two of its three iterations, and three of its four evaluations, were there."""
    told: list[Work] = []

    class Watching(Quiet):
        def progress(self, work: Work, text: str) -> None:
            told.append(work)

    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    run_experiment(small_config(tmp_path, training__iterations=3), Watching())
    evaluation = 0.6 * 6 / 4
    assert told[-1].done == told[-1].total == pytest.approx(3 + 4 * evaluation)
    assert told[-1].worked == pytest.approx(1 + evaluation)


def test_a_second_launch_does_nothing(finished: Path) -> None:
    config, observer = small_config(finished), Quiet()
    assert is_finished(config)
    assert run_experiment(config, observer) == run_folder(config)
    assert observer.stages == []
    info = read_run_info(run_folder(config) / "results")
    assert (info.stages, info.machines) == (STAGES, [kind_of_machine()])


def test_a_run_whose_stages_compute_something_else_now_is_not_finished(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cell would be compared with runs of new code."""
    monkeypatch.setitem(STAGES, "update", STAGES["update"] + 1)
    assert not is_finished(small_config(finished))


def test_advantages_recomputed_from_the_stored_steps(finished: Path) -> None:
    """The reviewer's own ten lines: group advantages and EMPG from steps.parquet, in plain loops."""
    checked = 0
    for record in sorted((finished / "artifacts" / "advantage").glob("*/record.json")):
        rollout = next((finished / "artifacts" / "rollout").glob(f"{read_json(record)['inputs']['rollout'][:20]}*"))
        stored = pd.read_parquet(record.parent / "advantages.parquet")
        episodes = pd.read_parquet(rollout / "trajectories.parquet")
        steps = pd.read_parquet(rollout / "steps.parquet")
        batch = []
        for _, e in episodes.iterrows():
            rewards = episodes[episodes.group == e.group].reward.to_numpy()
            advantage = (e.reward - rewards.mean()) / (rewards.std(ddof=1) + 1e-6)
            mine = steps[(steps.group == e.group) & (steps.member == e.member)]
            batch.append((float(advantage), [float(np.mean(h, dtype=np.float64)) for h in mine.entropies]))
        expected = [value for row in empg(batch) for value in row]
        np.testing.assert_allclose(stored.A_final, expected, atol=1e-5)
        checked += len(expected)
    assert checked > 10


def test_results_hold_every_task_once(finished: Path) -> None:
    (results,) = (finished / "runs").rglob("results")
    info = read_json(results / "run.json")
    table = pq.read_table(results / "evaluations.parquet").to_pandas()
    assert sorted(table.iteration.unique()) == [0, 1, 2]
    assert table.groupby("iteration").task_id.nunique().tolist() == [info["panel_size"]] * 3 == [6] * 3
    assert table.task_type.nunique() == 6
    metrics = pq.read_table(results / "metrics.parquet").to_pandas()
    for name in ("rollout/success", "update/kl", "entropy/step_mean", "credit/g_mean", "update/gradient_norm"):
        assert metrics[name].notna().sum() == 2, name
    np.testing.assert_allclose(metrics["credit/g_mean"].dropna(), 1, atol=1e-6)


@pytest.mark.parametrize(
    "variant",
    [
        {"algorithm": {"name": "dapo", "clip_high": 0.28, "dynamic_sampling": True, "max_generation_batches": 2}},
        {"algorithm": {"name": "rloo", "estimator": {"name": "rloo"}}, "empg__arm": "off"},
        {"benchmark__prompt": {"history": 2}, "model__stand_in__context_length": 4096},
        {"policy": {"name": "scripted"}, "evaluation__samples": 2},
    ],
    ids=["dapo", "rloo", "windowed history", "scripted"],
)
def test_variants_run(finished: Path, tmp_path: Path, variant: dict[str, object]) -> None:
    observer = Quiet()
    with_data(finished, tmp_path)
    variant = {**variant, "training__iterations": 1, "evaluation__every": 2}
    run_experiment(small_config(tmp_path, **variant), observer)
    assert observer.finished is not None
    assert observer.said[1]["rollout/episodes"] >= 4


# Where the kills fall: while the stage's draft exists, in the order in which a run gets to the stages. `make faults` has many.
KILLS = ("data", "model", "warm_start", "evaluate", "rollout", "advantage", "update", "analysis")


def test_killed_anywhere_and_resumed_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """Kill -9 inside every stage, a random moment after it began to write; then let the run get through."""
    rng = random.Random(1)
    with Launches(tmp_path, "alfworld") as launches:
        for stage in KILLS:
            while not launches.kill_in(stage, after_s=0 if stage == "advantage" else rng.uniform(0, 0.1)):
                pass
    assert not is_finished(small_config(tmp_path))
    run_experiment(small_config(tmp_path), Quiet())
    assert digests(tmp_path) == digests(finished)


def test_a_full_disk_is_readable_outside_the_store_too(tmp_path: Path) -> None:
    """/dev/full answers every write as a full disk does; the file that a write goes through first leads there."""
    config = small_config(tmp_path)
    folder = run_folder(config)
    folder.mkdir(parents=True)
    draft = folder / f".params.yaml.{os.getpid()}"
    draft.symlink_to("/dev/full")
    with pytest.raises(StoreFull, match=r"no space left while writing .*seed0.*: free some space and launch again"):
        run_experiment(config, Quiet())


def test_the_same_run_cannot_be_launched_twice_at_once(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom pipelines.run_folder import run_lock\n"
        "with run_lock(Path(sys.argv[1])):\n print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(run_folder(config))], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(RunLocked, match="already being executed"):
        run_experiment(config, Quiet())
    other.kill()
    other.wait()
    time.sleep(0.1)
    with run_lock(run_folder(config)):  # the dead process's lock is gone
        pass


@pytest.mark.parametrize(
    ("victim", "harm"),
    [
        ("evaluate/*/evaluations.parquet", flip),
        ("rollout/*/steps.parquet", lambda content: content[:-40]),
        ("update/*/model/model.safetensors", lambda content: None),
        ("data/*/json_2.1.1/valid_unseen/*/*/game.tw-pddl", flip),
    ],
    ids=["evaluation flipped", "rollout cut", "checkpoint missing", "game flipped"],
)
def test_damage_is_named_and_its_remedy_gives_the_same_bytes(
    finished: Path, tmp_path: Path, victim: str, harm: Callable[[bytes], bytes | None]
) -> None:
    path = damage(finished, tmp_path, victim, harm)
    with pytest.raises(CorruptArtifact, match=r"remove the folder .* and launch again") as caught:
        run_experiment(small_config(tmp_path), Quiet())
    assert str(path) in str(caught.value)
    folder = tmp_path / "artifacts" / Path(*path.relative_to(tmp_path / "artifacts").parts[:2])
    assert remedied(str(caught.value)) == folder
    shutil.rmtree(folder)
    run_experiment(small_config(tmp_path), Quiet())
    assert digests(tmp_path) == digests(finished)


@pytest.mark.parametrize("name", ["run.json", "evaluations.parquet", "metrics.parquet", "SHA256SUMS"])
def test_damaged_results_are_written_again(finished: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    (results,) = (tmp_path / "runs").rglob("results")
    (results / name).write_bytes(flip((results / name).read_bytes()))
    config = small_config(tmp_path)
    assert not is_finished(config)
    run_experiment(config, Quiet())
    assert digests(tmp_path) == digests(finished)


def test_a_finished_run_is_evaluated_more_often_without_playing_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights between evaluations are retired; the updates are repeated from the kept rollouts, bit for bit. Made on another kind of
    machine, the results name both."""
    seldom, often = {"evaluation__every": 9}, {"evaluation__every": 1}
    with_data(finished, tmp_path)
    run_experiment(small_config(tmp_path, **seldom), Quiet())
    rollouts = {p: p.stat().st_mtime_ns for p in (tmp_path / "artifacts" / "rollout").rglob("*.parquet")}
    here = kind_of_machine()
    monkeypatch.setattr("pipelines.experiment.kind_of_machine", lambda **_: {"cpu": "another"})
    folder = run_experiment(small_config(tmp_path, **often), Quiet())
    assert read_run_info(folder / "results").machines == [here, {"cpu": "another"}]
    again = {p: p.stat().st_mtime_ns for p in (tmp_path / "artifacts" / "rollout").rglob("*.parquet")}
    assert again == rollouts
    (expected,) = (finished / "runs").rglob("evaluations.parquet")  # small_config evaluates at every iteration
    assert (folder / "results" / "evaluations.parquet").read_bytes() == expected.read_bytes()


def test_fewer_iterations_end_with_their_own_policy_whatever_a_longer_run_pruned(
    finished: Path, tmp_path: Path
) -> None:
    """Both orders: a longer run before, whose checkpoints were pruned, and a longer one afterwards."""
    with_data(finished, tmp_path)

    def run(iterations: int) -> Path:
        config = small_config(tmp_path, training__iterations=iterations)
        folder = run_experiment(config, Quiet())
        return config.execution.artifacts / read_run_info(folder / "results").checkpoint

    longer, shorter = run(3), run(2)
    (expected,) = (finished / "runs").rglob("results")  # of two iterations
    whole = finished / "artifacts" / read_run_info(expected).checkpoint
    assert shorter.name == whole.name
    assert _contents(shorter) == _contents(whole)
    assert run(4) != longer
    for checkpoint in (shorter, longer):
        assert (checkpoint / "model" / "model.safetensors").is_file()


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_non_finite_loss_takes_no_step(finished: Path, tmp_path: Path) -> None:
    with_data(finished, tmp_path)
    config = small_config(tmp_path, training__learning_rate=1e30, training__minibatch_size=2, training__iterations=3)
    with pytest.raises(NonFiniteLoss, match="no step was taken"):
        run_experiment(config, Quiet())


def test_too_large_a_panel_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"evaluation\.games=7 but data\.valid_unseen=6"):
        small_config(tmp_path, evaluation__games=7)


def test_no_more_episodes_are_played_at_once_than_the_policy_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of a rollout and six of an evaluation, three at once; what the run is, and where it lies, does not change."""
    from pipelines.policies.local.sampler import LocalSampler
    from pipelines.run_folder import run_fingerprint

    opened, open_rollout = list[int](), LocalSampler.open_rollout

    def noted(sampler: LocalSampler, episodes: int) -> None:
        opened.append(episodes)
        open_rollout(sampler, episodes)

    monkeypatch.setattr(LocalSampler, "open_rollout", noted)
    config = small_config(tmp_path, training__iterations=1, policy__max_episodes=3)
    run_experiment(config, Quiet())
    assert opened == [3, 3, 3, 1, 3, 3]
    unbounded = small_config(tmp_path, training__iterations=1)
    assert run_fingerprint(config.experiment) == run_fingerprint(unbounded.experiment)
