"""Start a vLLM engine in this process: stepped by us, so that episodes on any event loop can use it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import ConfigError
from pipelines.gpus import how_to_install_engines, visible_gpus
from pipelines.policies.vllm.config import VllmPolicyConfig

if TYPE_CHECKING:
    from vllm.v1.engine.llm_engine import LLMEngine


def start_engine(folder: Path, settings: VllmPolicyConfig, **more: Any) -> LLMEngine:
    """An engine over the folder's model, without a tokenizer: tokens in, tokens out. ``more``: of vLLM's own arguments.

    Raises:
        ConfigError: vLLM is not installed, does not run this model, or has too little memory for the settings.
    """
    _prepare_environment(settings)
    try:
        from vllm import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine
    except ImportError as error:
        raise ConfigError(
            f"policy=vllm needs vLLM ({error}): {how_to_install_engines(cuda=bool(visible_gpus()))}"
        ) from None
    try:
        return LLMEngine.from_engine_args(EngineArgs(**(_arguments(folder, settings) | more)))
    except Exception as error:  # vLLM raises every kind, pydantic's included
        reason = str(error).strip().splitlines()
        raise ConfigError(
            f"vLLM cannot run the model in {folder} ({'; '.join(line.strip() for line in reason[:3])}): choose another "
            "model or dtype, or lower policy.max_episodes, policy.context_length or policy.kv_cache_gb"
        ) from error


def _prepare_environment(settings: VllmPolicyConfig) -> None:
    """What vLLM reads at import. The user's own values win."""
    values = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine lives here
        "VLLM_CPU_KVCACHE_SPACE": f"{settings.kv_cache_gb}",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else every run of a launch sits on the first core
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if settings.eager:
        values["TORCHDYNAMO_DISABLE"] = "1"  # vLLM compiles some of its sampler even so: 35 s at the first token
    for name, value in values.items():
        os.environ.setdefault(name, value)


def _arguments(folder: Path, settings: VllmPolicyConfig) -> dict[str, Any]:
    from vllm.platforms import current_platform

    arguments: dict[str, Any] = {
        "model": str(folder),
        "skip_tokenizer_init": True,
        "generation_config": "vllm",  # none of the folder's own sampling defaults
        "dtype": settings.dtype,
        "max_model_len": settings.context_length,
        "max_num_seqs": settings.max_episodes,
        "tensor_parallel_size": settings.tensor_parallel,
        "distributed_executor_backend": "uni" if settings.tensor_parallel == 1 else "mp",
        "enable_prefix_caching": settings.prefix_caching,
        "enforce_eager": settings.eager,
        "gpu_memory_utilization": settings.memory_fraction,
        "logprobs_mode": "processed_logprobs",  # of the tempered policy, the one that acts
        "max_logprobs": 1,
        "async_scheduling": False,  # a step ahead of its results, it would not know the tokens that entropies belong to
        "disable_log_stats": True,
        "seed": 0,
    }
    if current_platform.is_cpu():
        arguments["block_size"] = 32  # so that short prompts share cached blocks
        # Read in parts, a prompt whose request has a seed makes vLLM rewind its generator, which only CUDA's can.
        arguments["enable_chunked_prefill"] = False
    if settings.entropies == "exact":
        from pipelines.policies.vllm.entropy import EntropyRecorder

        arguments["logits_processors"] = [EntropyRecorder]
    return arguments
