"""What the processor of this machine can do, and what else of the machine decides the last bits of a number."""

from __future__ import annotations

import os
import platform
import re
from functools import cache
from pathlib import Path

from pipelines.gpus import gpu_names

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # the last is ARM's
# The names of instructions by which the libraries choose their kernels, on x86 and on ARM.
_VECTORS = re.compile(r"sse4.*|avx.*|fma.*|f16c|amx.*|asimd.*|sve.*|sme(\d.*)?|bf16|i8mm")
_MODEL = ("model name", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant")
# By these a user forbids kernels that the processor has.
_LIMITS = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def cpu_flags() -> frozenset[str]:
    """What the CPU can do, as Linux tells it; elsewhere nothing is known."""
    return frozenset(word for key, text in _cpuinfo() if key in ("flags", "Features") for word in text.split())


def kind_of_machine(*, gpus: bool = False) -> dict[str, str]:
    """What decides how this machine rounds: two machines of one kind give the same bytes, two of different kinds need not. The CPU's
    model and its vector instructions, the capability that torch uses, the libraries that multiply, the C library, what the
    environment forbids them, and the GPUs where these count. Brings torch."""
    names = gpu_names() if gpus else ""
    return dict(_kind()) | ({"gpus": names} if names else {})


@cache
def _kind() -> tuple[tuple[str, str], ...]:
    import torch

    built = torch.__config__.show()
    limits = " ".join(f"{name}={os.environ[name]}" for name in _LIMITS if os.environ.get(name))
    kind = {
        "cpu": cpu_model(),
        "vectors": " ".join(sorted(filter(_VECTORS.fullmatch, cpu_flags()))),
        "torch": torch.backends.cpu.get_cpu_capability(),
        "mkl": _version(r"Math Kernel Library Version ([\d.]+)", built),
        "onednn": _version(r"MKL-DNN v([\d.]+)", built),
        "libc": " ".join(filter(None, platform.libc_ver())),
        "limits": limits,
    }
    return tuple((name, value) for name, value in kind.items() if value)


def cpu_model() -> str:
    """As Linux tells it, with the numbers that tell models of one name apart: "AMD EPYC, cpu family 25, model 17, stepping 1"."""
    first = {key: text for key, text in reversed(_cpuinfo()) if key in _MODEL and text}
    name = first.pop("model name", "")
    numbers = [f"{key} {first[key]}" for key in _MODEL if key in first]
    return ", ".join(filter(None, [name or platform.processor() or platform.machine(), *numbers]))


def is_intel() -> bool:
    """Whether Intel made it, as Linux tells; elsewhere nothing is known."""
    return ("vendor_id", "GenuineIntel") in _cpuinfo()


def _version(pattern: str, built: str) -> str:
    found = re.search(pattern, built)
    return found[1] if found else ""


def _cpuinfo() -> list[tuple[str, str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return []
    return [(key.strip(), text.strip()) for key, _, text in (line.partition(":") for line in lines)]
