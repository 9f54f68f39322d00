"""NVIDIA's GPUs of this machine, asked of the driver by NVML without loading CUDA, and the engines that fit them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_GIB = 1 << 30


@dataclass(frozen=True)
class _Gpu:
    uuid: str
    gib: float | None
    name: str


def visible_gpus() -> list[float | None]:
    """GiB of each GPU that this process may use; None where the driver does not say it. No driver: no GPU."""
    return [gpu.gib for gpu in _visible()]


def gpu_names() -> str:
    """Of those that this process may use, each kind once."""
    return ", ".join(sorted({gpu.name for gpu in _visible()}))


def first_gpu() -> tuple[str, float] | None:
    """Name and GiB of the first of them; None: there is none, or the driver does not say its memory."""
    for gpu in _visible()[:1]:
        if gpu.gib is not None:
            return gpu.name, gpu.gib
    return None


def _visible() -> list[_Gpu]:
    import pynvml

    try:
        pynvml.nvmlInit()
        there = [_gpu(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())]
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return there if visible is None else _chosen(there, visible)


def _gpu(handle: Any) -> _Gpu:
    import pynvml

    try:
        gib = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) / _GIB
    except pynvml.NVMLError_NotSupported:  # a GPU that shares the host's memory
        gib = None
    return _Gpu(str(pynvml.nvmlDeviceGetUUID(handle)), gib, str(pynvml.nvmlDeviceGetName(handle)))


def _chosen(there: Sequence[_Gpu], visible: str) -> list[_Gpu]:
    """As CUDA reads its list: up to the first name that is no GPU's (-1, an empty one, NoDevFiles). A name is an index, or the
    beginning of one GPU's UUID. How large a part of a GPU is (MIG-…) is not asked for."""
    chosen: list[_Gpu] = []
    for name in map(str.strip, visible.split(",")):
        named = [gpu for gpu in there if name.startswith("GPU-") and gpu.uuid.startswith(name)]
        if name.isdecimal() and int(name) < len(there):
            chosen.append(there[int(name)])
        elif len(named) == 1:
            chosen.append(named[0])
        elif there and name.startswith("MIG-"):
            chosen.append(_Gpu(name, None, "a part of a GPU"))
        else:
            break
    return chosen


def how_to_install_engines(*, cuda: bool) -> str:
    """The remedy where vLLM or OpenRLHF is missing; ``cuda``: for GPUs."""
    if cuda:
        return (
            "install requirements/cluster-cuda.txt into an environment of its own (docs/cluster.md, Engines) and launch with "
            "its python"
        )
    return "make setup-cluster, then .venv-cluster/bin/python -m flows … (with GPUs: docs/cluster.md, Engines)"
