"""The warm-start stage: imitation of noisy expert play, so that RL starts from a policy that sometimes succeeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipelines.config.views import WarmStartView
from pipelines.environments.base import Benchmark, Panel, Turn
from pipelines.errors import ConfigError
from pipelines.policies import codec, imitate
from pipelines.protocols import TextCodec
from pipelines.records import DemoSequence
from pipelines.stages.demonstrations import demonstrations

_MOST_REFUSED = 256  # in a row


def warm_start(
    view: WarmStartView,
    benchmark: Benchmark,
    panel: Panel,
    data: Path,
    *,
    model: Path,
    out: Path,
    workers: int,
    on_progress: Callable[[int, int], None],
) -> dict[str, float]:
    """Train ``model`` on ``view.settings.tokens`` tokens of fresh demonstrations of ``panel``'s games; write it to ``out``.

    Returns the imitation's metrics. Raises ConfigError when demonstrations do not fit the model's context.
    """
    settings, tokenizer = view.settings, codec(model)
    plays = demonstrations(benchmark, panel.tasks, data, settings, workers)
    sequences = (
        sequence
        for turns in plays
        for sequence in demo_sequences(benchmark, tokenizer, turns, settings.observation_weight)
    )
    return imitate(model, out, _fitting(sequences, view.context_length), settings, on_progress=on_progress)


def _fitting(sequences: Iterator[DemoSequence], context_length: int) -> Iterator[DemoSequence]:
    """Those that fit the model's context; the demonstrations are endless, so where none fits somebody must say so."""
    refused = 0
    for sequence in sequences:
        fits = len(sequence.token_ids) <= context_length
        refused = 0 if fits else refused + 1
        if refused == _MOST_REFUSED:
            raise ConfigError(
                f"{refused} demonstrations in a row are longer than model.stand_in.context_length={context_length} tokens "
                f"(the last: {len(sequence.token_ids)}): raise it, or show less (benchmark.prompt, benchmark.max_steps)"
            )
        if fits:
            yield sequence


def demo_sequences(
    benchmark: Benchmark, codec: TextCodec, turns: Sequence[Turn], observation_weight: float
) -> list[DemoSequence]:
    """Token ids and loss weights of one demonstration, in the layout and with the very prompts of the rollout."""
    rows: list[tuple[list[int], list[float]]] = []
    for i, turn in enumerate(turns):
        prompt = benchmark.prompt(turns[:i], turn.observation)
        shown = codec.chat_prompt(prompt.messages, continues=prompt.continues)
        answer = [*codec.encode(turn.answer), codec.end_of_message]
        if not prompt.continues:
            rows.append(([], []))
        ids, weights = rows[-1]
        ids += shown + answer
        weights += [observation_weight] * len(shown) + [1.0] * len(answer)
    return [DemoSequence(np.asarray(ids, np.int32), np.asarray(weights, np.float32)) for ids, weights in rows]
