"""Steps → training sequences: masks drawn by hand, both layouts."""

import numpy as np

from pipelines.records import ScoredTrajectory, Step
from pipelines.stages.sequences import training_sequences
from tests.pipelines import played


def step(prompt: list[int], action: list[int], *, continues: bool) -> Step:
    logprobs = -np.arange(1, len(action) + 1, dtype=np.float32)
    return played.step(prompt, action, continues=continues, logprobs=logprobs)


def scored(steps: list[Step], final: list[float]) -> ScoredTrajectory:
    return ScoredTrajectory(played.won(steps=steps), {}, np.array(final, np.float32))


def test_full_history_is_one_sequence_with_every_step_at_its_recorded_span() -> None:
    # context 1 2 | action 7 8 9 | observation 3 | action 5       (· = not an action)
    (row,) = training_sequences(
        [scored([step([1, 2], [7, 8, 9], continues=False), step([3], [5], continues=True)], [0.5, -0.25])]
    )
    assert row.token_ids.tolist() == [1, 2, 7, 8, 9, 3, 5]
    assert row.action_mask.tolist() == [False, False, True, True, True, False, True]
    assert row.behaviour_logprobs.tolist() == [0, 0, -1, -2, -3, 0, -1]
    assert row.advantages.tolist() == [0, 0, 0.5, 0.5, 0.5, 0, -0.25]
    assert row.step_ids.tolist() == [-1, -1, 0, 0, 0, -1, 1]


def test_windowed_history_is_one_row_per_step() -> None:
    first, second = training_sequences(
        [scored([step([1, 2], [7], continues=False), step([1, 3, 4], [5, 6], continues=False)], [0.5, -0.25])]
    )
    assert first.token_ids.tolist() == [1, 2, 7]
    assert second.token_ids.tolist() == [1, 3, 4, 5, 6]
    assert second.advantages.tolist() == [0, 0, 0, -0.25, -0.25]
    assert second.step_ids.tolist() == [-1, -1, -1, 1, 1]
