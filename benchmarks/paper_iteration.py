"""One iteration of the paper's size, made up: 128 episodes of 50 steps, contexts of up to 2,048 tokens, actions of up to 512.

Each stage is a process of its own, ``python -m benchmarks.paper_iteration <stage> <folder>``, which prints its seconds and its peak of
memory. What is drawn is random, but as such texts are: words by Zipf's law, prompts that begin alike and repeat the steps before.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from flows.configure.compose import compose
from pipelines.artifacts import Artifact, ArtifactStore, Draft
from pipelines.config.views import AdvantageView, AnalysisView
from pipelines.files import write_json, write_parquet
from pipelines.records import Score, Step, StopReason, Task, TrainingSequence, Trajectory, Verdict
from pipelines.schemas import ADVANTAGES, METRICS_JSON, STEPS, TRAJECTORIES
from pipelines.stages import reading, tables
from pipelines.stages.advantage import advantage_metrics, score_trajectories
from pipelines.stages.analysis import analyse
from pipelines.stages.analysis.batches import first_and_chosen
from pipelines.stages.rollout import Rollout, rollout_metrics
from pipelines.stages.sequences import training_sequences

GROUPS, MEMBERS, STEPS_EACH = 16, 8, 50
CONTEXT, ACTION = 2048, 512  # tokens at most
VOCABULARY = 151_936
_EXPERIMENT = compose(["scale=paper"]).experiment


def _write(folder: Path) -> None:
    """The records of the rollout and its tables, as the stage writes them."""
    for iteration in (0, 1):
        rollout = Rollout(tuple(_episodes(iteration)), tuple(range(GROUPS)), 1)

        def make(draft: Draft, rollout: Rollout = rollout) -> None:
            write_parquet(draft.path(STEPS.file), tables.steps_table(rollout.trajectories))
            write_parquet(draft.path(TRAJECTORIES.file), tables.trajectories_table(rollout))
            write_json(draft.path(METRICS_JSON), rollout_metrics(rollout, GROUPS))

        _store(folder, "rollout", iteration, make)
        del rollout, make


def _read(folder: Path) -> None:
    reading.read_rollout(_found(folder, "rollout", 0))


def _advantage(folder: Path) -> None:
    view = AdvantageView.of(_EXPERIMENT)
    for iteration in (0, 1):
        batch = reading.read_rollout(_found(folder, "rollout", iteration)).batch()
        scored = score_trajectories(batch, view.estimator.make(), view.modulator.make(), view.credit)

        def make(draft: Draft, scored: Any = scored) -> None:
            declared = [column.name for column in view.columns]
            write_parquet(draft.path(ADVANTAGES.file), tables.advantages_table(scored, declared))
            write_json(draft.path(METRICS_JSON), advantage_metrics(scored))

        _store(folder, "advantage", iteration, make)
        del batch, scored, make


def _sequences(folder: Path) -> None:
    """What the learner is given."""
    training_sequences(reading.read_scored(_found(folder, "rollout", 0), _found(folder, "advantage", 0)))


def _analysis(folder: Path) -> None:
    """With a policy whose every token has the same entropy."""
    batches = {i: (_found(folder, "rollout", i), _found(folder, "advantage", i)) for i in (0, 1)}
    played, chosen = first_and_chosen(batches)
    codec = SimpleNamespace(decode=lambda ids: " ".join(map(str, ids)))
    policy: Any = SimpleNamespace(learner=SimpleNamespace(score=_scores), sampler=SimpleNamespace(codec=codec))
    analyse(AnalysisView.of(_EXPERIMENT), policy, played, chosen, {})


def _scores(sequences: Sequence[TrainingSequence], *, reference: bool = False) -> list[Score]:
    return [Score(np.zeros(len(s), np.float32), s.action_mask.astype(np.float32)) for s in sequences]


STAGES: Mapping[str, Callable[[Path], None]] = {
    "write": _write, "read": _read, "advantage": _advantage, "sequences": _sequences, "analysis": _analysis,
}  # fmt: skip


def _store(folder: Path, stage: str, iteration: int, make: Callable[[Draft], None]) -> Artifact:
    artifact = ArtifactStore(folder).get_or_make(stage, 1, {"iteration": iteration}, {}, make)
    (folder / f"{stage}-{iteration}").write_text(artifact.fingerprint)
    return artifact


def _found(folder: Path, stage: str, iteration: int) -> Artifact:
    artifact = ArtifactStore(folder).find(stage, (folder / f"{stage}-{iteration}").read_text())
    assert artifact is not None
    return artifact


# --------------------------------------------------------------------------------------------------------------- made up


def _episodes(iteration: int) -> list[Trajectory]:
    rng = np.random.Generator(np.random.Philox(iteration))
    instructions = _words(rng, 600)  # what every prompt begins with
    return [_episode(rng, group, member, instructions) for group in range(GROUPS) for member in range(MEMBERS)]


def _episode(rng: np.random.Generator, group: int, member: int, instructions: Any) -> Trajectory:
    """The prompt of a step: the instructions, the last steps with their answers, what is seen, what is admissible."""
    admissible, past, steps = _words(rng, 250), [_words(rng, 40)], []
    success = bool(rng.random() < 0.4)
    for index in range(STEPS_EACH):
        seen = _words(rng, int(rng.integers(20, 200)))
        prompt = np.concatenate([instructions, *past[-4:], seen, rng.permutation(admissible)])[:CONTEXT]
        action = _words(rng, int(rng.integers(ACTION // 8, ACTION + 1)))
        last = index == STEPS_EACH - 1
        steps.append(_step(rng, prompt, action, seen, 10.0 if success and last else 0.0))
        past += [action, seen]
    task = Task("alfworld", "train", f"task-{group}", f"type-{group % 6}", f"train/task-{group}", f"{group:064d}")
    reason = StopReason.SUCCESS if success else StopReason.MAX_STEPS
    reward = 10.0 * success
    return Trajectory(
        task, group, member, tuple(steps), _text(past[0]), reward, reward, float(success), success, reason
    )


def _step(rng: np.random.Generator, prompt: Any, action: Any, seen: Any, reward: float) -> Step:
    entropies = rng.gamma(0.3, 1.0, len(action)).astype(np.float32)
    return Step(
        continues=False, prompt_ids=prompt, action_ids=action,
        logprobs=(-entropies * rng.random(len(action))).astype(np.float32), entropies=entropies,
        text=_text(action), action=_text(action[:4]), observation=_text(seen), reward=reward, shaped_reward=reward,
        verdict=Verdict.ADMITTED, valid=True, cut=len(action) == ACTION, state_before=f"{rng.integers(1 << 62):032x}",
        state_after=f"{rng.integers(1 << 62):032x}",
    )  # fmt: skip


def _words(rng: np.random.Generator, count: int) -> Any:
    """int32[count]: token ids by Zipf's law."""
    return (rng.zipf(1.3, count) % VOCABULARY).astype(np.int32)


def _text(ids: Any) -> str:
    """Four to five characters a token."""
    return " ".join(f"{int(token):x}" for token in ids)


def main(stage: str, folder: Path) -> None:
    start = time.perf_counter()
    STAGES[stage](folder)
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
