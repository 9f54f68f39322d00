"""Files that were cut, flipped, doubled or mixed up, through everything that reads what a user, a disk or a colleague brings."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.errors import CorruptArtifact, DataError, PlatformError
from tests.faults.brought import bring, read_adapter, read_answer, read_study, read_translation, read_undelivered
from tests.faults.found import Found, Tick
from tests.faults.fuzz import Chunk, in_chunks
from tests.pipelines.kills import Launches
from tests.pipelines.runs import small_config

_CHUNK = 250
_DATA = "artifacts/data/*"


@dataclass(frozen=True)
class Reader:
    """``files``: a glob below the small run of ``benchmark``. ``read`` is given the damaged file and may raise ``allowed``, nothing
    else; ``notices``: it must, whatever byte differs."""

    benchmark: str
    files: str
    read: Callable[[Path], Any]
    allowed: tuple[type[Exception], ...] = (PlatformError,)
    notices: bool = False


def fuzz_files(count: int, seed: int, folder: Path, tick: Tick) -> Iterator[Found]:
    """``count`` files for each reader."""
    for name in {reader.benchmark for reader in READERS.values()}:
        with Launches(folder / name, name) as launches:
            launches.let_through()
    bring(sorted(folder.glob("alfworld/artifacts/update/*/model"))[0], folder / "alfworld" / "brought")
    for name in READERS:
        yield in_chunks(f"damaged: {name}", _read, count, _CHUNK, (name, str(folder), seed), tick)


def _read(name: str, folder: str, seed: int, number: int, count: int) -> Chunk:
    rng, chunk, reader = random.Random(f"{name} {seed} {number}"), Chunk(), READERS[name]
    with tempfile.TemporaryDirectory() as own:
        root = Path(own) / "run"
        shutil.copytree(Path(folder) / reader.benchmark, root)
        files = sorted(path for path in root.glob(reader.files) if path.is_file() and path.stat().st_size)
        for path in files:  # a reader that refuses what is whole would hold whatever is tried
            reader.read(path)
        for call in range(count):
            path = rng.choice(files)
            whole = path.read_bytes()
            harm = damaged(rng, whole)
            path.write_bytes(harm)
            label = f"{name}, chunk {number} of seed {seed}, call {call}, {path.relative_to(root)}"
            faults = len(chunk.faults)
            refused = _Refused(reader)
            chunk.try_one(label, partial(refused.read, path))
            if reader.notices and harm != whole and not refused.did and len(chunk.faults) == faults:
                chunk.faults.append(f"{label}: was not noticed")
            path.write_bytes(whole)
    return chunk.closed()


class _Refused:
    """Whether a reader refused the file, in a way that it may."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self.did = reader, False

    def read(self, path: Path) -> None:
        try:
            self._reader.read(path)
        except self._reader.allowed:
            self.did = True


def damaged(rng: random.Random, content: bytes) -> bytes:
    start, length = rng.randrange(len(content)), rng.choice((1, 1, 4, 64, 1000))
    end = min(start + length, len(content))
    match rng.randrange(7):
        case 0:
            return content[:start]
        case 1:
            return content[:start] + content[end:]
        case 2:
            return content[:start] + rng.randbytes(end - start) + content[end:]
        case 3:
            return content[:end] + content[start:]
        case 4:
            return content[:start] + bytes(end - start) + content[end:]
        case 5:
            return content[:start] + bytes([content[start] ^ (1 << rng.randrange(8))]) + content[start + 1 :]
    other = rng.randrange(len(content))
    return content[:start] + content[other : other + length] + content[end:]


# ------------------------------------------------------------------------------------------------------------- readers


def _artifact(path: Path) -> None:
    from pipelines.artifacts import ArtifactStore

    root = next(parent for parent in path.parents if parent.name == "artifacts")
    if damage := ArtifactStore(root).damage(root.joinpath(*path.relative_to(root).parts[:2])):
        raise CorruptArtifact(damage)


def _run_info(path: Path) -> None:
    from pipelines.run_info import read_run_info

    read_run_info(path.parent)


def _results(path: Path) -> None:
    from pipelines.reporting.results import read_run

    read_run(path.parent)


def _weights(path: Path) -> None:
    from pipelines.policies.local.parameters import load_model

    load_model(path.parent)


def _codec(path: Path) -> None:
    from pipelines.policies.chat_codec import ChatCodec

    ChatCodec(path.parent)


def _panels(name: str) -> Callable[[Path], None]:
    """And the first state of a task, of data that no checksum holds, as a user's own."""

    def read(path: Path) -> None:
        from pipelines.registry import benchmark_spec

        data = next(
            parent
            for parent in path.parents
            if parent.parent.name == "data" and parent.parent.parent.name == "artifacts"
        )
        experiment = small_config(data.parents[2], name).experiment
        benchmark = benchmark_spec(name).build(experiment.benchmark, experiment.data)
        task = benchmark.panels(data)["train"].tasks[0]
        environment = benchmark.environment(task, data)
        environment.reset()
        environment.close()

    return read


def _questions(path: Path) -> None:
    from pipelines.environments.deepsearch.questions import read_questions

    list(read_questions(path))


def _documents(path: Path) -> None:
    from pipelines.environments.deepsearch.documents import read_documents

    list(read_documents(path))


READERS = {
    "artifacts": Reader("alfworld", "artifacts/*/*/**/*.parquet", _artifact, (CorruptArtifact,), notices=True),
    "records of artifacts": Reader("alfworld", "artifacts/*/*/record.json", _artifact, (CorruptArtifact,)),
    "results": Reader("alfworld", "runs/*/*/results/*", _results, (DataError,), notices=True),
    "run.json": Reader("alfworld", "runs/*/*/results/run.json", _run_info, (ValueError, OSError)),
    "weights": Reader("alfworld", "artifacts/update/*/model/model.safetensors", _weights),
    "config.json": Reader("alfworld", "artifacts/update/*/model/config.json", _weights),
    "model folder": Reader("alfworld", "artifacts/update/*/model/[tcg]*", _codec),
    "chat template": Reader("alfworld", "brought/model/chat_template.jinja", _codec),
    "LoRA adapter": Reader("alfworld", "brought/adapter/*", read_adapter),
    "what MLflow was not told": Reader("alfworld", "brought/undelivered/*", read_undelivered, notices=True),
    "registrations of studies": Reader("alfworld", "brought/studies/*", read_study),
    "a cached translation": Reader("alfworld", "brought/translation/*", read_translation, (ValueError,), notices=True),
    "servers' answers": Reader("alfworld", "brought/answers/*", read_answer),
    "ALFWorld's data": Reader("alfworld", f"{_DATA}/**/*", _panels("alfworld")),
    "WebShop's data": Reader("webshop", f"{_DATA}/**/*", _panels("webshop")),
    "Deep Search's data": Reader("deepsearch", f"{_DATA}/**/*", _panels("deepsearch")),
    "cooking's data": Reader("cooking", f"{_DATA}/**/*", _panels("cooking")),
    "questions": Reader("deepsearch", f"{_DATA}/*_hop/*.jsonl", _questions, (DataError,)),
    "documents": Reader("deepsearch", f"{_DATA}/corpora/*.jsonl", _documents, (DataError,)),
}
