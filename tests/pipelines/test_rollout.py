"""Dynamic sampling goes by the task's outcome, through the platform's own episodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.environments.base import Panel
from pipelines.errors import EnvironmentFailure
from pipelines.protocols import SamplingSettings
from pipelines.records import StopReason, Task
from pipelines.stages.rollout import Rollout, roll_out, rollout_metrics
from tests.environments.fake import CountDownBenchmark, task
from tests.environments.in_process import InProcessPool, Script, ScriptedSampler

PANEL = Panel("train", tuple(task(f"t{i}", 2) for i in range(6)), "0" * 64)
WINS, LOSES, LOSES_POLITELY = (
    ["down", "down"],
    [],
    ["stay"] * 8,
)  # "mumble" until the actions are spent: each is invalid
DIES = ["down", "die"]


class Batches:
    """Sampler and pool of a rollout whose generation batches are written down: in each the answers of every episode."""

    def __init__(self, folder: Path, batches: Sequence[Sequence[list[str]]]) -> None:
        left = iter([[Script(PANEL.tasks[0], a, 2 if a is DIES else None) for a in batch] for batch in batches])

        class Pool(InProcessPool):
            def open(self, tasks: Sequence[Task]) -> None:
                self._scripts = self.scripts = next(left)
                super().open(tasks)

        class Sampler(ScriptedSampler):
            def open_rollout(self, episodes: int) -> None:
                self._left = [iter(script.answers) for script in pool.scripts]

        pool = Pool(CountDownBenchmark(), folder, [])
        self.pool, self.sampler, self.learner = pool, Sampler([]), None


def rolled(folder: Path, *batches: Sequence[list[str]], dynamic: bool = True) -> Rollout:
    view = SimpleNamespace(
        tasks=2,
        group_size=4,
        seed=0,
        iteration=0,
        dynamic_sampling=dynamic,
        max_generation_batches=2 if dynamic else 1,
        policy=SimpleNamespace(at_once=None),
    )
    policy = Batches(folder, batches)
    settings = SamplingSettings(1.0, 0)
    return roll_out(view, policy, policy.pool, CountDownBenchmark(), PANEL, sampling=settings)  # type: ignore[arg-type]


def test_groups_of_which_every_episode_failed_are_left_out_whatever_their_penalties(tmp_path: Path) -> None:
    """Rewards of a group: −.8, 0, −.8, 0 (eight invalid actions or none). By the rewards, all four groups carried a signal."""
    nobody = [LOSES, LOSES_POLITELY] * 4
    rollout = rolled(tmp_path, nobody, nobody)
    assert sorted({t.reward for t in rollout.trajectories}) == pytest.approx([-0.8, 0])
    assert (rollout.kept, rollout.batches, rollout.batch()) == ((), 2, [])
    metrics = rollout_metrics(rollout, 2)
    assert (metrics["rollout/success"], metrics["rollout/groups_missing"]) == (0, 2)
    assert [metrics[f"rollout/{why}"] for why in ("invalid_actions", "inadmissible", "unparsed", "cut_answers")] == [
        0.5,
        0.5,
        0,
        0,
    ]


def test_a_group_is_kept_for_its_outcomes(tmp_path: Path) -> None:
    """First both groups fail, then the second of two fresh ones has one success."""
    rollout = rolled(tmp_path, [LOSES_POLITELY] * 8, [*[LOSES] * 4, WINS, *[LOSES] * 3])
    assert rollout.kept == (3,)
    assert [(t.group, t.member, t.outcome) for t in rollout.batch()] == [(3, 0, 1), (3, 1, 0), (3, 2, 0), (3, 3, 0)]


def test_an_episode_that_its_environment_failed_is_played_and_not_learned_from(tmp_path: Path) -> None:
    """It failed in every success rate; its group, where all others won, is not informative; and without dynamic sampling the
    batch lacks it alone."""
    episodes = [DIES, WINS, WINS, WINS, WINS, *[LOSES] * 3]
    rollout = rolled(tmp_path, episodes, [*[WINS] * 4])
    assert rollout.kept == (1,)
    assert rollout.trajectories[0].stop_reason is StopReason.ENVIRONMENT_ERROR
    assert len(rollout.trajectories[0].steps) == 1
    plain = rolled(tmp_path, episodes, dynamic=False)
    assert plain.kept == (0, 1)
    assert [(t.group, t.member) for t in plain.batch()] == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)]
    metrics = rollout_metrics(plain, 2)
    assert (metrics["rollout/success"], metrics["rollout/environment_errors"]) == (4 / 8, 1)


def test_one_dead_task_in_a_replacement_ends_no_run(tmp_path: Path) -> None:
    """The first batch has one informative group; the group that replaces the other dies whole. The stage has others alive."""
    rollout = rolled(tmp_path, [WINS, *[LOSES] * 3, *[LOSES] * 4], [DIES] * 4)
    assert (rollout.kept, rollout.batches, len(rollout.trajectories)) == ((0,), 2, 12)
    assert sum(t.stop_reason is StopReason.ENVIRONMENT_ERROR for t in rollout.trajectories) == 4


def test_a_stage_whose_environments_all_died_says_nothing_of_the_policy(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailure, match="all 16 episodes"):
        rolled(tmp_path, [DIES] * 8, [DIES] * 8)
