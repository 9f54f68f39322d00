"""Processes that the store's tests start, kill and race: ``python -m tests.pipelines.store_writer <what> <root>``."""

from __future__ import annotations

import resource
import sys
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from pipelines.artifacts import Artifact, ArtifactStore, Draft
from pipelines.errors import StoreFull
from pipelines.files import read_json, write_json


def payload(n: int) -> dict[str, bytes]:
    """What artifact ``n`` holds: a function of ``n`` alone."""
    return {name: bytes([n % 251]) * size for name, size in (("weights.bin", 200_000), ("deep/er/state.bin", 9_000))}


def make(n: int, draft: Draft) -> None:
    for name, content in payload(n).items():
        with draft.path(name).open("wb") as file:
            for start in range(0, len(content), 4096):
                file.write(content[start : start + 4096])
                file.flush()
    write_json(draft.path("metrics.json"), {"n": n})


def write_forever(root: Path) -> None:
    import filelock  # noqa: F401 - now, so that the kills fall into the writing and not into the import

    store = ArtifactStore(root)
    print("ready", flush=True)
    for n in count():
        artifact = store.get_or_make("stage", 1, {"n": n}, {}, lambda draft, n=n: make(n, draft))  # type: ignore[misc]
        if n % 3 == 0:
            store.prune(artifact)


def write_once(root: Path) -> None:
    def slowly(draft: Draft) -> None:
        with (root / "made.log").open("a") as log:
            log.write("made\n")
        time.sleep(0.3)
        make(7, draft)

    print("ready", flush=True)
    sys.stdin.readline()
    print(ArtifactStore(root).get_or_make("stage", 1, {"n": 7}, {}, slowly).path("weights.bin"))


def write_too_much(root: Path) -> None:
    """A limit on the size of files stands for a disk that is full where nothing can be mounted."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        ArtifactStore(root).get_or_make("stage", 1, {"n": 7}, {}, lambda draft: make(7, draft))
    except StoreFull as error:
        print(error)


def read_as_told(root: Path) -> None:
    """A reader of the one update below a folder: each line is a step, "enter <folder>", "read" or "leave", answered when it is done."""
    with ExitStack() as held:
        for line in sys.stdin:
            step, _, name = line.strip().partition(" ")
            if step == "enter":
                held.enter_context(_update(root / name).held())
                artifact = _update(root / name)
                print("lacks" if artifact.lacks() else "has", flush=True)
            elif step == "read":
                print(len((artifact.tree("model") / "weights.bin").read_bytes()), flush=True)
            else:
                held.pop_all().close()
                print("left", flush=True)


def _update(store: Path) -> Artifact:
    (folder,) = (store / "update").iterdir()
    found = ArtifactStore(store).find("update", read_json(folder / "record.json")["fingerprint"])
    assert found is not None
    return found


MODES = {"forever": write_forever, "once": write_once, "too_much": write_too_much, "read": read_as_told}

if __name__ == "__main__":
    MODES[sys.argv[1]](Path(sys.argv[2]))
