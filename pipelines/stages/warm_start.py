"""The warm-start stage: imitation of noisy expert play, so that RL starts from a policy that sometimes succeeds."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipelines.config import PretrainedWarmStart, StandInWarmStart
from pipelines.config.views import WarmStartView
from pipelines.environments.base import Benchmark, Panel, Turn
from pipelines.errors import ConfigError
from pipelines.policies import codec, imitate
from pipelines.protocols import TextCodec
from pipelines.records import DemoSequence
from pipelines.seeds import derive_seed
from pipelines.stages.demonstrations import demonstrations

_MOST_REFUSED = 256  # in a row
_REMEDY = "raise it, or show less (benchmark.prompt, benchmark.max_steps)"


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
    """Train ``model`` on fresh demonstrations of ``panel``'s games, as many as ``view.settings`` say; write it to ``out``.

    Returns the imitation's metrics. Raises ConfigError when demonstrations do not fit the model's context.
    """
    settings, tokenizer, lengths = view.settings, codec(model), Counter[bool]()
    sequences = _fitting(
        (
            sequence
            for turns in demonstrations(benchmark, panel.tasks, data, settings, workers)
            for sequence in demo_sequences(benchmark, tokenizer, turns, settings.observation_weight)
        ),
        view,
        lengths,
    )
    if isinstance(settings, StandInWarmStart):
        metrics = imitate(model, out, sequences, settings, tokens=settings.tokens, on_progress=on_progress)
    else:
        rows = list(sequences)
        random.Random(derive_seed(settings.seed, "imitation")).shuffle(rows)  # the steps of an episode look alike
        if lengths[False]:
            share = f"{lengths[False]} of {lengths.total()} demonstrations"
            print(f"warning: {share} are longer than {_bound(view)} and are left out: {_REMEDY}", file=sys.stderr)
        tokens = sum(len(row.token_ids) for row in rows)
        metrics = imitate(model, out, rows, settings, tokens=tokens, on_progress=on_progress)
    return metrics | {"warm_start/too_long": lengths[False] / lengths.total()}


def _fitting(sequences: Iterator[DemoSequence], view: WarmStartView, lengths: Counter[bool]) -> Iterator[DemoSequence]:
    """Those that fit the context; ``lengths`` counts those that do and that do not. Where none fits somebody must say so, for a
    stand-in's demonstrations are endless."""
    refused, length = 0, 0
    for sequence in sequences:
        length = len(sequence.token_ids)
        fits = view.context_length is None or length <= view.context_length
        lengths[fits] += 1
        refused = 0 if fits else refused + 1
        if refused == _MOST_REFUSED:
            break
        if fits:
            yield sequence
    if refused == _MOST_REFUSED or not lengths[True]:
        raise ConfigError(
            f"{refused} demonstrations in a row are longer than {_bound(view)} (the last: {length}): {_REMEDY}"
        )


def _bound(view: WarmStartView) -> str:
    name = "model.stand_in.context_length"
    if isinstance(view.settings, PretrainedWarmStart):
        name = "rollout.max_context_tokens and max_action_tokens, together"
    return f"{name}={view.context_length} tokens"


def demo_sequences(
    benchmark: Benchmark, codec: TextCodec, turns: Sequence[Turn], observation_weight: float
) -> list[DemoSequence]:
    """Token ids and loss weights of one demonstration, in the layout and with the very prompts of the rollout."""
    rows: list[tuple[list[int], list[float]]] = []
    for i, turn in enumerate(turns):
        prompt = benchmark.shown(turns[:i], turn.observation)
        shown = codec.chat_prompt(prompt.messages, continues=prompt.continues)
        answer = codec.answer(turn.answer)
        if not prompt.continues:
            rows.append(([], []))
        ids, weights = rows[-1]
        ids += shown + answer
        weights += [observation_weight] * len(shown) + [1.0] * len(answer)
    return [DemoSequence(np.asarray(ids, np.int32), np.asarray(weights, np.float32)) for ids, weights in rows]
