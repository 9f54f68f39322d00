"""What a plan reckons with: a GPU, or this machine's memory."""

from __future__ import annotations

from pathlib import Path

from pipelines.gpus import first_gpu
from pipelines.sections import Positive, Section

# bfloat16 tflops, dense, and GB/s by what the driver's name of a GPU contains, as data sheets have them.
_DATA_SHEETS = {
    "H200": (989, 4800), "H100": (989, 3350), "A100": (312, 2039), "L40S": (362, 864), "L4": (121, 300), "A10": (125, 600),
    "RTX A6000": (155, 768), "RTX 5090": (209, 1792), "RTX 4090": (165, 1008), "RTX 3090": (71, 936),
}  # fmt: skip
_UNKNOWN = _DATA_SHEETS["A10"]
_CGROUP = Path("/sys/fs/cgroup/memory.max")


class GpuSettings(Section):
    """One GPU as its data sheet has it: what plans and launch checks reckon with.

    ``name``: as plans call it. ``memory_gib``: memory that a process sees. ``tflops``: 10¹² operations a second, dense, in the
    policy's dtype. ``bandwidth_gb_s``: of its memory."""

    name: str
    memory_gib: Positive
    tflops: Positive
    bandwidth_gb_s: Positive


def this_gpu() -> GpuSettings | None:
    """The GPU that a process here would take; None: there is none that says its memory. One that is not known is reckoned as
    fast as an A10."""
    found = first_gpu()
    if found is None:
        return None
    name, gib = found
    tflops, bandwidth = next((speeds for known, speeds in _DATA_SHEETS.items() if known in name), _UNKNOWN)
    return GpuSettings(name=name, memory_gib=round(gib, 1), tflops=tflops, bandwidth_gb_s=bandwidth)


def host_memory_gib() -> float:
    """Of this machine, or what its container may use."""
    import psutil

    total = int(psutil.virtual_memory().total)
    try:
        total = min(total, int(_CGROUP.read_text("utf-8")))
    except (OSError, ValueError):  # no limit
        pass
    return round(total / 2**30, 1)
