"""NVIDIA's GPUs of this machine, found without loading a CUDA library, and the engines that fit them."""

from __future__ import annotations

import os
import subprocess

_MIB_PER_GIB = 1024


def visible_gpus() -> list[float | None]:
    """GiB of each GPU that this process may use; None where the driver does not say it."""
    try:
        query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        told = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    there = [_gib(line) for line in told.splitlines() if line.strip()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return there if visible is None else _chosen(there, visible)


def _gib(mib: str) -> float | None:
    try:
        return int(mib) / _MIB_PER_GIB
    except ValueError:  # "[N/A]"
        return None


def _chosen(there: list[float | None], visible: str) -> list[float | None]:
    """As CUDA reads its list: up to the first name that is no GPU's (-1, an empty one, NoDevFiles). Which GPU has a UUID is
    not known here, nor how large a part of one is (MIG-…)."""
    chosen: list[float | None] = []
    same = there[0] if len(set(there)) == 1 else None
    for name in map(str.strip, visible.split(",")):
        if name.isdecimal() and int(name) < len(there):
            chosen.append(there[int(name)])
        elif there and name.startswith(("GPU-", "MIG-")):
            chosen.append(same if name.startswith("GPU-") else None)
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
