"""Multi-turn generation: the sampler that keeps its cache across turns against ``transformers.generate``, and against vLLM.

All play the same conversation shape in one process and one thread: B episodes × T turns, observations of equal token
counts, action lengths forced, so all run exactly the same number of sampled tokens on the same model. Ours also returns
the log-prob and the exact entropy of every token; vLLM, which keeps its cache too, the log-prob; ``generate`` neither. vLLM is
compared with where it is installed (.venv-cluster), and compiles its model as it does unless told otherwise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row, at_least, cpu_seconds, take_turns
from pipelines.config import StandIn

REPEATS = 3
_NEVER = -1  # an end-of-message id that is never sampled: action lengths are forced

Turn = Callable[[int, list[list[int]]], list[list[int]]]  # (turn, contexts) → sampled ids per episode


@dataclass(frozen=True)
class Shape:
    """Of the conversations, in tokens, and how often ours must be as fast as ``generate``."""

    episodes: int
    turns: int
    opening: int
    observation: int
    action: int
    target: float

    def __str__(self) -> str:
        return f"{self.episodes} episodes × {self.turns} turns"

    @property
    def sampled(self) -> int:
        return self.episodes * self.turns * self.action


TINY = Shape(episodes=64, turns=15, opening=60, observation=12, action=12, target=4.0)
SHORT = Shape(episodes=8, turns=4, opening=200, observation=100, action=32, target=3.0)  # Deep Search with two hops
LONG = Shape(episodes=4, turns=12, opening=200, observation=60, action=16, target=3.0)  # WebShop, of at most 15 turns
VLLM_TARGET = 1.0


def bench_generation() -> list[Row]:
    """Rows per model: tokens sampled per CPU second by both. Two stand-ins, and a random model as large as SmolLM2-135M. It plays few
    turns and many: what ``generate`` runs again grows with the square of their number."""
    rows: list[Row] = []
    for make in (lambda folder: _stand_in(64, 2, folder), lambda folder: _stand_in(96, 3, folder), _smollm2):
        with tempfile.TemporaryDirectory() as folder:
            rows += _compared(*make(Path(folder)), Path(folder))
    return rows


def _stand_in(hidden: int, heads: int, folder: Path) -> tuple[str, tuple[Shape, ...]]:
    from pipelines.policies import make_stand_in

    stand_in = StandIn(hidden_size=hidden, layers=3, heads=heads, kv_heads=1, mlp=3 * hidden)
    make_stand_in(stand_in, [" ".join(f"{a}{b}" for a in "abcdefghij" for b in "klmnopqrstuvw")], folder)
    return f"hidden {hidden}", (TINY,)


def _smollm2(folder: Path) -> tuple[str, tuple[Shape, ...]]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, tie_word_embeddings=True, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return "SmolLM2-135M's shape", (SHORT, LONG)


def _compared(model: str, shapes: Sequence[Shape], folder: Path) -> Iterator[Row]:
    import torch

    torch.set_num_threads(1)
    for shape in shapes:
        name = f"generation against generate, {model}, {shape}"
        yield _row(name, _generate_anew(folder, shape), shape, folder, shape.target)
    if shapes[0] is SHORT and find_spec("vllm"):  # its engine keeps its memory to the end
        name = f"generation against vLLM, {model}, {SHORT}"
        yield _row(name, _vllm(folder, SHORT), SHORT, folder, VLLM_TARGET)


def _row(name: str, baseline: Turn, shape: Shape, folder: Path, target: float) -> Row:
    for turn in (baseline, _keep_cache(folder, shape)):
        _play(turn, shape, turns=2)  # warm-up
    pairs = take_turns(
        lambda: cpu_seconds(lambda: _play(baseline, shape, shape.turns)),
        lambda: _cpu_seconds_of_ours(folder, shape),
        REPEATS,
        name,
    )
    return at_least(name, pairs, target, "tokens/CPU s", amount=shape.sampled)


def _cpu_seconds_of_ours(folder: Path, shape: Shape) -> float:
    """Without reading the weights, which the baseline has read too."""
    turn = _keep_cache(folder, shape)
    return cpu_seconds(lambda: _play(turn, shape, shape.turns))


def _play(turn: Turn, shape: Shape, turns: int) -> None:
    """The whole conversation."""
    rng = np.random.default_rng(0)
    contexts: list[list[int]] = [rng.integers(0, 256, shape.opening).tolist() for _ in range(shape.episodes)]
    for number in range(turns):
        for context, ids in zip(contexts, turn(number, contexts), strict=True):
            if len(ids) != shape.action:
                raise RuntimeError(
                    f"{len(ids)} tokens were sampled instead of {shape.action}: the two are not comparable"
                )
            context += ids + rng.integers(0, 256, shape.observation).tolist()


def _generate_anew(folder: Path, shape: Shape) -> Turn:
    """What a plain rollout does: ``model.generate`` on the left-padded whole contexts of every turn."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def turn(number: int, contexts: list[list[int]]) -> list[list[int]]:
        longest = max(map(len, contexts))
        tokens = torch.tensor([[0] * (longest - len(c)) + c for c in contexts])
        attention = torch.tensor([[0] * (longest - len(c)) + [1] * len(c) for c in contexts])
        torch.manual_seed(number)
        with torch.inference_mode():
            out = model.generate(
                tokens, attention_mask=attention, do_sample=True, top_k=0, top_p=1.0, temperature=1.0,
                min_new_tokens=shape.action, max_new_tokens=shape.action,
            )  # fmt: skip
        ids: list[list[int]] = out[:, longest:].tolist()
        return ids

    return turn


def _vllm(folder: Path, shape: Shape) -> Turn:
    """vLLM's engine in this process, which finds the turns before among its cached prefixes."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input

    from pipelines.policies.vllm.config import VllmPolicyConfig
    from pipelines.policies.vllm.engine import start_engine

    engine: Any = start_engine(folder, VllmPolicyConfig(dtype="float32", eager=False, context_length=2048))
    sampled = SamplingParams(
        temperature=1.0, min_tokens=shape.action, max_tokens=shape.action, ignore_eos=True, logprobs=0, detokenize=False
    )
    numbers = iter(range(1 << 30))

    def turn(number: int, contexts: list[list[int]]) -> list[list[int]]:
        if not number:
            engine.reset_prefix_cache()  # of the same conversation, played before
        asked, answers = [str(next(numbers)) for _ in contexts], dict[str, list[int]]()
        for name, context in zip(asked, contexts, strict=True):
            engine.add_request(name, tokens_input(list(context)), sampled)
        while len(answers) < len(asked):
            answers |= {done.request_id: list(done.outputs[0].token_ids) for done in engine.step() if done.finished}
        return [answers[name] for name in asked]

    return turn


def _keep_cache(folder: Path, shape: Shape) -> Turn:
    """Our sampler: log-probs and exact entropies of every token included."""
    import torch

    from pipelines.policies.local.decoding import CachedDecoder
    from pipelines.policies.local.parameters import load_model
    from pipelines.policies.local.transformer import weights_of
    from pipelines.protocols import GenerationRequest, SamplingSettings

    model, sampling = load_model(folder), SamplingSettings(temperature=1.0, max_tokens=shape.action)
    with torch.inference_mode():
        decoder = CachedDecoder(weights_of(model), shape.episodes, {_NEVER})

    def turn(number: int, contexts: list[list[int]]) -> list[list[int]]:
        requests = [GenerationRequest(i, tuple(c), number * 1000 + i, sampling) for i, c in enumerate(contexts)]
        return [s.ids.tolist() for s in decoder.generate(requests)]

    return turn
