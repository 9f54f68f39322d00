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


def calm_libraries() -> None:
    """Before torch is imported. One thread per run: reproducible, and one run per core. ``GLIBC_TUNABLES`` is read when a
    process starts: it is for a launcher's processes."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("GLIBC_TUNABLES", _KEEP_BUFFERS)
