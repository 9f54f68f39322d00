"""Which samples of an evaluation are played together."""

from __future__ import annotations

from collections.abc import Iterator

_AT_ONCE = 512  # episodes, where one sample of each task is fewer


def sample_blocks(samples: int, tasks: int) -> Iterator[range]:
    """One block after the other: 0, 1, 2–3, 4–7 and so on, each as large as all before it while that is at most ``_AT_ONCE``
    episodes. So an evaluation of 4 samples is the beginning of one of 8, and a task's samples share a batch, whose bits depend on
    all of its episodes."""
    first = 0
    while first < samples:
        block = range(first, min(first + min(max(first, 1), max(_AT_ONCE // tasks, 1)), samples))
        yield block
        first = block.stop
