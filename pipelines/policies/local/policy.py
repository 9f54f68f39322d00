"""The local policy: one process, one torch thread, one set of weights that is sampled from and trained in place."""

from __future__ import annotations

from pathlib import Path

import torch

from pipelines.policies.chat_codec import ChatCodec
from pipelines.policies.local.learner import LocalLearner
from pipelines.policies.local.parameters import load_model
from pipelines.policies.local.sampler import LocalSampler
from pipelines.protocols import Policy


def local_policy(model: Path, *, temperature: float, threads: int = 1) -> Policy:
    """``model``: the folder the run starts from and, frozen, the reference of the KL loss. ``temperature``: of the
    rollouts."""
    torch.set_num_threads(threads)  # one: two threads are not bit-reproducible
    parameters = load_model(model)
    return Policy(LocalSampler(parameters, ChatCodec(model)), LocalLearner(parameters, model, temperature))
