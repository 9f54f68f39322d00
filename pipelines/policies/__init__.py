"""Policies: weights, optimiser and sampler behind one protocol. Heavy imports happen inside the factories."""

from collections.abc import Iterable
from pathlib import Path

from pipelines.config import ExperimentConfig, StandIn
from pipelines.protocols import Policy, TextCodec


def build(config: ExperimentConfig, model: Path) -> Policy:
    """The only factory of policies. ``model``: the Hugging Face folder the run starts from, which is also the frozen
    reference of the KL loss."""
    match config.policy.name:
        case "local":
            from pipelines.policies.local.policy import LocalPolicy

            return LocalPolicy(model, temperature=config.rollout.temperature, threads=config.policy.torch_threads)
        case "scripted":
            from pipelines.policies.scripted import ScriptedPolicy

            return ScriptedPolicy()
        case "vllm":
            from pipelines.policies.vllm.policy import VllmPolicy

            return VllmPolicy(model, config.policy)
        case "openrlhf":
            from pipelines.policies.openrlhf.policy import OpenrlhfPolicy

            rollout = config.rollout
            longest = (
                None if rollout.max_context_tokens is None else rollout.max_context_tokens + rollout.max_action_tokens
            )
            return OpenrlhfPolicy(
                model,
                config.policy,
                temperature=rollout.temperature,
                longest=longest,
                micro_batch_tokens=config.training.micro_batch_tokens,
            )


def codec(model: Path) -> TextCodec:
    """The tokenizer of a Hugging Face folder, as rollouts use it."""
    from pipelines.policies.chat_codec import ChatCodec

    return ChatCodec(model)


def make_stand_in(shape: StandIn, corpus: Iterable[str], out: Path) -> None:
    """An untrained stand-in model and a tokenizer made from the corpus, as a Hugging Face folder."""
    from pipelines.policies.local.model import make_stand_in as make

    make(shape, corpus, out)
