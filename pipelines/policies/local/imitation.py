"""Imitation: next-token prediction on demonstrations, weighted per token. What the warm start trains with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from pipelines.config import PretrainedWarmStart, StandInWarmStart, WarmStartConfig
from pipelines.errors import ConfigError, NonFiniteLoss
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.engine import Engine, open_engine
from pipelines.policies.local.patches import muon_in_float32
from pipelines.records import DemoSequence

Surprise = Callable[[Engine, torch.Tensor, torch.Tensor], torch.Tensor]
Batch = tuple[torch.Tensor, torch.Tensor, list[int]]  # ids, weights (0 at first tokens: nothing predicts them), lengths


def imitate(
    model_folder: Path,
    out: Path,
    sequences: Iterable[DemoSequence],
    settings: WarmStartConfig,
    *,
    tokens: int,
    on_progress: Callable[[int, int], None],
) -> dict[str, float]:
    """Train on ``tokens`` tokens (every sequence once) and write the model to ``out``; returns metrics.

    A stand-in by one thread, and on the CPU wherever it is: the same bytes every time.
    """
    how = _how(settings)
    torch.set_num_threads(how.torch_threads)
    adapter = settings.adapter if isinstance(settings, PretrainedWarmStart) else None
    engine = open_engine(model_folder, how, adapter=adapter)
    optimizers = _optimizers(engine, settings)
    surprise = _at_once if isinstance(settings, StandInWarmStart) else _in_chunks
    seen, losses = 0, list[float]()
    for batch in _batches(_within(sequences, engine, model_folder), settings.batch_tokens):
        if seen >= tokens:
            break
        learning_rate = rate_at(settings, seen, len(batch[0]), tokens)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.zero_grad(set_to_none=True)
        loss = _loss(engine, surprise, *batch)
        loss.backward()
        if not torch.isfinite(loss):
            raise NonFiniteLoss(f"imitation loss {loss.item()} after {seen} tokens: lower warm_start.learning_rate")
        torch.nn.utils.clip_grad_norm_(engine.named.values(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        engine.version += 1
        seen += len(batch[0])
        losses.append(float(loss.detach()))
        on_progress(min(seen, tokens), tokens)
    engine.save(model_folder, out)
    tail = losses[-max(len(losses) // 20, 1) :]
    return {
        "warm_start/tokens": float(seen),
        "warm_start/loss": float(np.mean(tail)),
        "warm_start/steps": float(len(losses)),
    }


def _how(settings: WarmStartConfig) -> LocalPolicyConfig:
    if isinstance(settings, StandInWarmStart):
        return LocalPolicyConfig(device="cpu")
    shared = ("engine", "device", "dtype", "torch_threads", "checkpoint_activations")
    return LocalPolicyConfig(**{name: getattr(settings, name) for name in shared})


def rate_at(settings: WarmStartConfig, seen: int, batch: int, tokens: int) -> float:
    """The learning rate falls linearly to zero with the tokens seen, after it rose over the first ``warm_up`` of them."""
    falling = settings.learning_rate * (1.0 - seen / tokens)
    rising = min(1.0, (seen + batch) / (settings.warm_up * tokens)) if settings.warm_up else 1.0
    return falling * rising


def _loss(
    engine: Engine, surprise: Surprise, tokens: torch.Tensor, weight: torch.Tensor, lengths: list[int]
) -> torch.Tensor:
    """The weighted mean of −log p over one batch; logits exist where a weight asks for them."""
    tokens, weight = tokens.to(engine.device), weight.to(engine.device)
    predicted = weight.nonzero().squeeze(1)
    before, chosen = engine.hidden(tokens, lengths, predicted - 1), tokens[predicted]
    return (surprise(engine, before, chosen) * weight[predicted]).sum() / weight.sum()


def _at_once(engine: Engine, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """−log p of the tokens [T]: of a stand-in, whose vocabulary is small."""
    return F.cross_entropy(engine.logits(hidden), tokens, reduction="none")


def _in_chunks(engine: Engine, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The same where the logits of all tokens would take hundreds of megabytes."""
    return -engine.logprobs(hidden, tokens, temperature=1.0)[0]


def _within(sequences: Iterable[DemoSequence], engine: Engine, folder: Path) -> Iterator[DemoSequence]:
    for sequence in sequences:
        if len(sequence.token_ids) > engine.context_length:
            raise ConfigError(
                f"a demonstration of {len(sequence.token_ids)} tokens is longer than the context of {folder}, "
                f"{engine.context_length}: set rollout.max_context_tokens, or show less (benchmark.prompt)"
            )
        yield sequence


def _optimizers(engine: Engine, settings: WarmStartConfig) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for embeddings, norms and biases; or AdamW for all."""
    named = engine.named
    matrices = [
        p
        for n, p in named.items()
        if p.ndim == 2 and "embed" not in n and "lm_head" not in n and settings.matrix_optimizer == "muon"
    ]
    rest = [p for p in named.values() if all(p is not m for m in matrices)]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=settings.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    ]
    if matrices:
        muon_in_float32()
        muon = torch.optim.Muon(matrices, lr=settings.learning_rate, weight_decay=0.0)
        optimizers.append(muon)
    return optimizers


def _batches(sequences: Iterable[DemoSequence], most: int) -> Iterator[Batch]:
    """Fresh sequences until about ``most`` tokens, laid end to end."""
    rows: list[DemoSequence] = []
    for sequence in sequences:
        rows.append(sequence)
        if sum(len(row.token_ids) for row in rows) >= most:
            yield _end_to_end(rows)
            rows = []
    if rows:
        yield _end_to_end(rows)


def _end_to_end(rows: Sequence[DemoSequence]) -> Batch:
    lengths = [len(row.token_ids) for row in rows]
    weights = np.concatenate([row.weights for row in rows])
    weights[np.cumsum([0, *lengths[:-1]])] = 0.0
    tokens = np.concatenate([row.token_ids for row in rows]).astype(np.int64)
    return torch.from_numpy(tokens), torch.from_numpy(weights), lengths
