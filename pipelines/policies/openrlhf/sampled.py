"""A gauge that is read every second in the background: how busy a GPU was, which no counter keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Sampled:
    """``read`` is called every ``every_s`` seconds until the process ends."""

    def __init__(self, read: Callable[[], float], every_s: float = 1.0) -> None:
        self._read, self._every_s = read, every_s
        self._sum, self._count = 0.0, 0
        self._lock = threading.Lock()
        threading.Thread(target=self._sample, name="sampled", daemon=True).start()

    def _sample(self) -> None:
        wake = threading.Event()
        while not wake.wait(self._every_s):
            value = self._read()
            with self._lock:
                self._sum, self._count = self._sum + value, self._count + 1

    def take(self) -> float | None:
        """The mean since last asked; None where there was no reading yet."""
        with self._lock:
            mean = self._sum / self._count if self._count else None
            self._sum, self._count = 0.0, 0
        return mean
