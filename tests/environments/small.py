"""What every benchmark's tests folder says of itself, as ``SMALL`` of its ``small.py``: the tests of runs read it there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pipelines.registry import benchmark_names


@dataclass(frozen=True)
class Small:
    """A benchmark at its smallest.

    ``sections``: ``benchmark`` and ``data`` of an experiment that takes seconds, and any other section that must differ.
    ``data_file``: glob, below the store, of data files whose damage must be named. ``cache_file``: of files outside the
    artifacts that are made again when they are damaged ("": there are none); ``forget`` drops what a process holds of them.
    """

    sections: dict[str, dict[str, Any]]
    data_file: str
    cache_file: str = ""
    forget: Callable[[], None] = lambda: None


def small(benchmark: str) -> Small:
    found: Small = import_module(f"tests.environments.{benchmark}.small").SMALL
    return found


def with_cache() -> list[str]:
    return [name for name in benchmark_names() if small(name).cache_file]
