"""Policies: one package each, exporting its ``SPEC``; weights, optimiser and sampler behind one protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.config import StandIn, WarmStartConfig
    from pipelines.protocols import TextCodec
    from pipelines.records import DemoSequence


def codec(model: Path) -> TextCodec:
    """The tokenizer of a Hugging Face folder, as rollouts use it."""
    from pipelines.policies.chat_codec import ChatCodec

    return ChatCodec(model)


def chat_remarks(model: Path, *, grows: bool) -> tuple[str, ...]:
    """What must be known of the chat template of a folder. ``grows``: transcripts grow (``prompt.history=full``), and may be other than
    what the template writes of the whole conversation.

    Raises:
        DataError: no transcript of this template can grow, or the folder's tokenizer or template cannot be used at all.
    """
    from pipelines.policies.chat_codec import ChatCodec

    return ChatCodec(model).remarks(grows=grows)


def make_stand_in(shape: StandIn, corpus: Iterable[str], out: Path, *, tags: Sequence[str] = (), seed: int = 0) -> None:
    """An untrained stand-in model and a tokenizer made from the corpus, as a Hugging Face folder. ``tags``: the benchmark's
    own markup, each one token. ``seed``: of its random weights."""
    from pipelines.policies.local.model import make_stand_in as make

    make(shape, corpus, out, tags=tags, seed=seed)


def merge_adapter(base: Path, adapter: Path, out: Path) -> None:
    """A Hugging Face folder ``out``: that of ``base`` with the change of an adapter (PEFT's folder) in its weights, in float32.

    Raises:
        MissingCheckpoint: a file is absent or damaged, or the adapter is of another model.
    """
    from pipelines.policies.lora_files import merge_folder

    merge_folder(base, adapter, out)


def imitate(
    model: Path,
    out: Path,
    sequences: Iterable[DemoSequence],
    settings: WarmStartConfig,
    *,
    tokens: int,
    on_progress: Callable[[int, int], None],
) -> dict[str, float]:
    """Train a model's folder on ``tokens`` tokens of demonstrations, whatever policy goes on from it; the result is the
    folder ``out``. Returns the metrics; ``on_progress`` is told the tokens seen, of how many."""
    from pipelines.policies.local.imitation import imitate as train

    return train(model, out, sequences, settings, tokens=tokens, on_progress=on_progress)
