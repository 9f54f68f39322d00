"""OpenRLHF 0.11.2 without CUDA: what it takes for granted is given here. Nothing of it is active with a GPU.

Must run before anything else of OpenRLHF is imported.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
import types
from typing import Any, NoReturn

ENVIRONMENT = {"DS_ACCELERATOR": "cpu", "TORCHDYNAMO_DISABLE": "1", "CUDA_VISIBLE_DEVICES": ""}


def install() -> None:
    """Where the process' environment says so (``ENVIRONMENT``)."""
    if os.environ.get("DS_ACCELERATOR") != "cpu":
        return
    _stand_in_for_flash_attention()
    _cuda_is_the_cpu()
    _gathers_are_waited_for()


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


def _gathers_are_waited_for() -> None:
    """ZeRO-3 starts many gathers and waits for the last: NCCL does them in order, gloo does not, and weights that are not
    there yet were read (deepspeed 0.19.6, ``_allgather_params_coalesced``)."""
    import deepspeed.comm as comm

    gather = comm.all_gather_into_tensor

    def waited(*arguments: Any, **settings: Any) -> Any:
        handle = gather(*arguments, **settings)
        if handle is not None:
            handle.wait()
        return handle

    comm.all_gather_into_tensor = waited
