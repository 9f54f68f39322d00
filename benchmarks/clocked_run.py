"""``python -m flows`` with a clock on the artifact store.

A run's own ``timing.json`` counts the store as stage work, for a stage is an artifact found or made. Here what the store
takes beyond the making (fingerprints, locks, checksums, flushes, renames) is summed up, and the making per stage.

``python -m benchmarks.clocked_run <file> [override …]`` runs ``python -m flows [override …]`` and writes the sums.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from flows.__main__ import main
from flows.exits import leave
from pipelines.artifacts import Artifact, ArtifactStore, Draft

_get_or_make = ArtifactStore.get_or_make


class _Clock:
    def __init__(self) -> None:
        self.making: defaultdict[str, float] = defaultdict(float)
        self.store_s = 0.0

    def get_or_make(
        self, store: ArtifactStore, stage: str, version: int, values: Any, inputs: Any, make: Any
    ) -> Artifact:
        start, made = time.perf_counter(), 0.0

        def timed(draft: Draft) -> None:
            nonlocal made
            begun = time.perf_counter()
            make(draft)
            made = time.perf_counter() - begun

        artifact = _get_or_make(store, stage, version, values, inputs, timed)
        self.making[stage] += made
        self.store_s += time.perf_counter() - start - made
        return artifact


def clocked(file: Path, overrides: list[str]) -> int:
    clock = _Clock()
    ArtifactStore.get_or_make = lambda store, *args: clock.get_or_make(store, *args)  # type: ignore[method-assign,assignment]
    code = main(overrides)
    file.write_text(json.dumps({"store_s": clock.store_s, "making_s": clock.making}))
    return code


if __name__ == "__main__":
    leave(clocked(Path(sys.argv[1]), sys.argv[2:]))
