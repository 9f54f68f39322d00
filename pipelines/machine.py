"""What a machine or a shell may refuse a run: memory, space on the disk, the size of a file; by what libraries make of it."""

from __future__ import annotations

import errno
import re
import resource
from collections.abc import Iterator

from pipelines.errors import MachineFailure

_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
# Rust's, C++'s and torch's words, and the loader's for a library that did not fit.
_MEMORY = re.compile(
    r"cannot allocate memory|not enough memory|can't allocate memory|failed to map segment|bad_alloc", re.IGNORECASE
)
# oneDNN's words for memory that it did not get, and for what it cannot do: under a limit they mean the former.
_UNDER_A_LIMIT = re.compile(r"could not create a (primitive|memory)")
_GIB = 1 << 30
LEAST_ADDRESS_SPACE = 1.6  # GiB: with 1.5 GB a smoke run died among its imports, with 3 GB it was done
_FINISHED_STAYS = "what was finished stays"


def check_limits() -> None:
    """Raises MachineFailure: this shell lets no run have the memory that its libraries take."""
    if (limit := _address_space()) is not None and limit < LEAST_ADDRESS_SPACE:
        raise MachineFailure(
            f"the address space of this shell is limited to {limit:.1f} GiB, too little for any run (3 do for a small one): raise the "
            "limit (ulimit -v unlimited)"
        )


def missing_resource(error: BaseException) -> str | None:
    """In one line, what was missing, and the remedy; None: it was something else."""
    for each in _chain(error):
        text = " ".join(str(each).split())[:300] or type(each).__name__
        number = each.errno if isinstance(each, OSError) else None
        if number == errno.EFBIG or "File too large" in text:
            return f"a file may not grow as large as it must ({text}): raise the limit (ulimit -f unlimited), or the file system's"
        if number in _SPACE or "No space left on device" in text:
            return f"no space left ({text}): free some and launch again; {_FINISHED_STAYS}"
        refused = _MEMORY.search(text) or (_address_space() is not None and _UNDER_A_LIMIT.search(text))
        if isinstance(each, MemoryError) or number == errno.ENOMEM or refused:
            return f"not enough memory ({text}): {_memory_remedy()}; {_FINISHED_STAYS}"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was made of."""
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        seen.append(at)
        yield at
        at = at.__cause__ or at.__context__


def _memory_remedy() -> str:
    limit = _address_space()
    if limit is None:
        return "free some, or run fewer processes at once, and launch again"
    return f"this shell's limit is {limit:.1f} GiB of address space, raise it (ulimit -v unlimited) and launch again"


def _address_space() -> float | None:
    """GiB; None: no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft / _GIB
