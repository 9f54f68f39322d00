"""Is our own forward pass transformers' own, for this very folder? A text is given to both, once per folder's contents."""

from __future__ import annotations

from pathlib import Path

import torch

from pipelines.errors import ConfigError
from pipelines.policies.chat_codec import ChatCodec
from pipelines.policies.local.architectures import computes_natively
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.engine import open_engine
from pipelines.policies.local.native import NativeEngine
from pipelines.policies.local.tokenizer import is_stand_in

_TEXT = (
    "You are in the middle of a room. Looking around you, you see a cabinet 2, a cabinet 1, a desk 10 and a fridge 3. Your task is "
    "to: put 2 clean mugs, of 3.5 inches or more, in the fridge; then say «done». Naïve answers cost $0.10 each!\n"
)
_TIMES = 4  # about 300 tokens: positions count
_MOST = 1e-3  # of the largest logit; rounding alone is a hundredth of it


def check_model(settings: LocalPolicyConfig, folder: Path) -> dict[str, float]:
    """Compares the logits of a text by both, in float32; the largest difference, or nothing where there is nothing to compare: with
    transformers' engine, and for stand-ins, which tests hold equal.

    Raises:
        ConfigError: they differ. MissingCheckpoint: as ``open_engine``.
    """
    if is_stand_in(folder) or not computes_natively(folder, settings.engine):
        return {}
    engine = open_engine(folder, settings.model_copy(update={"dtype": "float32", "device": "cpu"}), frozen=True)
    assert isinstance(engine, NativeEngine)
    return {"largest_difference": largest_difference(engine, folder, ChatCodec(folder).encode(_TEXT * _TIMES))}


@torch.inference_mode()
def largest_difference(engine: NativeEngine, folder: Path, ids: list[int]) -> float:
    """Of the two's logits of the tokens, in what they are compared in: the largest logit is 1.

    Raises:
        ConfigError: more than ``_MOST``. MissingCheckpoint: transformers' are no numbers.
    """
    from pipelines.policies.local.hosted import check_finite, read

    theirs = read(folder, engine.named)
    tokens = torch.tensor(ids[: engine.context_length])
    ours = engine.logits(engine.hidden(tokens, [len(tokens)], torch.arange(len(tokens))))
    expected = theirs(tokens[None]).logits[0]
    check_finite(folder, expected)
    difference = (ours - expected).abs()
    place = divmod(int(difference.argmax()), difference.shape[1])
    found = float(difference[place]) / max(1.0, float(expected.abs().max()))
    if not found <= _MOST:  # also where ours are no numbers
        raise ConfigError(
            f"{folder}: policy.engine=native computes other logits than transformers, by {float(difference[place]):.3g} at most "
            f"(token {place[1]} at position {place[0]}: {float(ours[place]):.4g} and {float(expected[place]):.4g}): set "
            "policy.engine=transformers"
        )
    return found
