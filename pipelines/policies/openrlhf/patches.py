"""What this policy does to OpenRLHF, DeepSpeed and Ray, or takes from them that is not public.

Light to import: the libraries are imported where a patch is applied. ``apply`` must run before anything else of OpenRLHF is
imported.
"""

from __future__ import annotations

import importlib.machinery
import os
import re
import sys
import types
from pickle import UnpicklingError
from typing import Any, NoReturn

from pipelines.patches import require_known

KNOWN = {"openrlhf": ("0.11.2",), "deepspeed": ("0.19.6",), "ray": ("2.55.0",)}

# OpenRLHF without CUDA: what it takes for granted is then given here. Nothing of it is active with a GPU.
WITHOUT_GPU = {"DS_ACCELERATOR": "cpu", "TORCHDYNAMO_DISABLE": "1", "CUDA_VISIBLE_DEVICES": ""}


def apply() -> None:
    """All patches that hold for a whole process of the trainer; those for a machine without a GPU where the process'
    environment says so (``WITHOUT_GPU``).

    Raises:
        ConfigError: a library is of another version.
    """
    require_known("openrlhf", KNOWN, "training by OpenRLHF's classes")
    require_known("deepspeed", KNOWN, "training by DeepSpeed")
    if os.environ.get("DS_ACCELERATOR") == "cpu":
        _stand_in_for_flash_attention()
        _cuda_is_the_cpu()
        _nothing_is_compiled()
        _gathers_are_waited_for()
    _float32_is_a_dtype()
    checkpoints_run_no_code()


# ---------------------------------------------------------------------------------------------------------- OpenRLHF


def _float32_is_a_dtype() -> None:
    """OpenRLHF knows the two half precisions only."""
    import torch
    from openrlhf.utils import utils

    dtype_of = utils.convert_to_torch_dtype
    utils.convert_to_torch_dtype = lambda name: torch.float32 if name == "fp32" else dtype_of(name)


def use_replay_buffer(buffer: type) -> None:
    """``ActorPPOTrainer`` makes its replay buffer by this name, and takes none."""
    from openrlhf.trainer.ray import ppo_actor

    ppo_actor.NaiveReplayBuffer = buffer


def actor_class() -> Any:
    """The plain class behind the Ray actor ``PolicyModelActor``."""
    from openrlhf.trainer.ray.ppo_actor import PolicyModelActor

    require_known("ray", KNOWN, "extending OpenRLHF's Ray actor")
    return PolicyModelActor.__ray_metadata__.modified_class


def keep_in_host_memory(model: Any, offload: bool) -> None:
    """Of a model that is only asked: ``DeepspeedStrategy.prepare`` reads this before it chooses a configuration."""
    model._offload = offload


def replace_output(model: Any, head: Any, forward: Any) -> None:
    """``model``: a causal model of transformers. Its output matrix and its whole forward pass are these functions from now
    on; the head stays the module in which ZeRO-3 gathers its matrix."""
    model.lm_head.forward, model.forward = head, forward


# --------------------------------------------------------------------------------------------------------- DeepSpeed


def checkpoints_run_no_code() -> None:
    """DeepSpeed unpickles its checkpoints, and a pickle may run any code; an artifacts folder may be shared. Tensors and plain
    values are read, and the three of DeepSpeed's classes that stages 2 and 3 write; anything else is an UnpicklingError."""
    import torch
    from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    def load(_: Any, path: str, map_location: Any = None) -> Any:
        try:
            with torch.serialization.safe_globals([LossScaler, ZeroStageEnum, fragment_address]):
                return torch.load(path, map_location=map_location, weights_only=True)
        except UnpicklingError as error:
            foreign = re.search(r"GLOBAL (\S+)", str(error))
            raise UnpicklingError(
                f"{path} holds {foreign[1] if foreign else 'code'}, which no checkpoint does"
            ) from None

    TorchCheckpointEngine.load = load


def clip_gradients_at(engine: Any, norm: float) -> None:
    """DeepSpeed reads the norm when an engine is made, and an update may ask for another."""
    engine.optimizer.clip_grad = norm
    engine._config.gradient_clipping = norm


# --------------------------------------------------------------------------------------------------------------- Ray


def error_log() -> str:
    """Of this Ray process, the file of what it writes to standard error."""
    from ray._private.worker import global_worker

    require_known("ray", KNOWN, "finding the last words of a Ray process")
    return str(global_worker.get_err_file_path())


# ----------------------------------------------------------------------------------------------------- without a GPU


def _stand_in_for_flash_attention() -> None:
    """Imported by openrlhf.models.ring_attn_utils whether or not it is used (packing_samples)."""
    from einops import rearrange

    def missing(*_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("flash attention needs a GPU: set policy.cluster.packing=false")

    contents: dict[str, dict[str, Any]] = {
        "flash_attn": {},
        "flash_attn.utils": {},
        "flash_attn.bert_padding": {
            "index_first_axis": missing,
            "pad_input": missing,
            "unpad_input": missing,
            "rearrange": rearrange,
        },
        "flash_attn.utils.distributed": {"all_gather": missing},
    }
    for name, content in contents.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []
        sys.modules.setdefault(name, module)


def _cuda_is_the_cpu() -> None:
    import torch
    from torch.distributed.device_mesh import init_device_mesh

    cpu = torch.device("cpu")
    cuda: Any = torch.cuda
    cuda.current_device = lambda: cpu
    for name in ("set_device", "synchronize", "empty_cache"):
        setattr(cuda, name, lambda *_, **__: None)
    import openrlhf.utils.deepspeed.deepspeed as strategy

    strategy.init_device_mesh = lambda _, *a, **k: init_device_mesh("cpu", *a, **k)


def _nothing_is_compiled() -> None:
    """DeepSpeed compiles an exchange over shared memory, which nothing here calls: a minute of the first run, which needs a C++
    compiler, and once ended in it leaves a lock that every later run waits for, for ever."""
    from deepspeed import ops

    ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _gathers_are_waited_for() -> None:
    """ZeRO-3 starts many gathers and waits for the last: NCCL does them in order, gloo does not, and weights that are not
    there yet were read (``_allgather_params_coalesced``)."""
    import deepspeed.comm as comm

    gather = comm.all_gather_into_tensor

    def waited(*arguments: Any, **settings: Any) -> Any:
        handle = gather(*arguments, **settings)
        if handle is not None:
            handle.wait()
        return handle

    comm.all_gather_into_tensor = waited
