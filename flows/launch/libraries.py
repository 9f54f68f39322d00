"""How the libraries under a run behave, by their own variables of the environment; a user's values stay."""

from __future__ import annotations

import os

# glibc gives freed buffers of megabytes back to the kernel; a policy needs the like again at once, and to get them anew,
# page by page, takes about a tenth of an update. Other C libraries do not read this.
_KEEP_BUFFERS = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {
        "mmap_threshold": 32 << 20,
        "trim_threshold": 1 << 30,
        "top_pad": 64 << 20,
        "hugetlb": 1,  # ask for huge pages
        "arena_max": 1,  # other threads' arenas give back more; one thread at a time does the work
    }.items()
)

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def calm_libraries() -> None:
    """Before torch is imported. One thread per run: reproducible, and one run per core. ``GLIBC_TUNABLES`` is read when a
    process starts: it is for a launcher's processes."""
    exempt_loopback()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("GLIBC_TUNABLES", _KEEP_BUFFERS)


def exempt_loopback() -> None:
    """Servers on this machine are reached without the network's proxy (``HTTP_PROXY``), which knows nothing of them: what
    ``NO_PROXY`` names is kept, and loopback is added. Libraries read either spelling."""
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in named.split(",") if host.strip()]
    exempt = ",".join(dict.fromkeys([*hosts, *_LOOPBACK]))
    os.environ.update({"no_proxy": exempt, "NO_PROXY": exempt})
