"""A gauge read in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from pipelines.policies.openrlhf.sampled import Sampled


def test_the_mean_since_last_asked() -> None:
    """Readings 10, 30, 80: their mean is 40."""
    readings: Iterator[float] = iter([10.0, 30.0, 80.0])
    done = threading.Event()

    def read() -> float:
        value = next(readings, None)
        if value is None:
            done.set()
            threading.Event().wait()  # for ever: no further reading
        return value or 0.0

    gauge = Sampled(read, every_s=0.001)
    assert done.wait(10)
    assert gauge.take() == 40.0
    assert gauge.take() is None
