"""The policy at scale: vLLM's engines sample, OpenRLHF's trainer learns, each in Ray processes that one group holds."""

from __future__ import annotations

from pathlib import Path

from pipelines.config import LoraSettings
from pipelines.policies.chat_codec import ChatCodec
from pipelines.policies.model_folder import check_folder, check_no_code
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig
from pipelines.policies.openrlhf.group import Processes
from pipelines.policies.openrlhf.learner import OpenrlhfLearner
from pipelines.policies.openrlhf.sampler import OpenrlhfSampler
from pipelines.protocols import Policy


def openrlhf_policy(
    model: Path,
    settings: OpenrlhfPolicyConfig,
    *,
    temperature: float,
    longest: int | None,
    micro_batch_tokens: int,
    adapter: LoraSettings | None = None,
) -> Policy:
    """``model``: the folder the run starts from and, frozen, the reference of the KL loss. ``temperature``: of the
    rollouts. ``longest``: tokens of the longest sequence; None: the model's context. ``micro_batch_tokens``: of one scoring
    pass on a rank. ``adapter``: what is trained in place of the model's own weights.

    Raises:
        MissingCheckpoint, ConfigError: the folder is damaged, Ray cannot be joined or has no room, the engines do not
            start.
    """
    check_folder(model)
    check_no_code(model)
    codec = ChatCodec(model)
    processes = Processes(model.absolute(), settings, temperature, longest, adapter)
    return Policy(OpenrlhfSampler(processes, codec), OpenrlhfLearner(processes, settings, micro_batch_tokens))
