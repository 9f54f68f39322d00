"""What can be chosen by name: every package below ``environments/`` and ``policies/`` that exports a ``SPEC``.

A package ``<name>`` is found by being there: ``<name>/spec.py`` defines ``SPEC``, whose name is the package's. A spec is light
to import (pydantic at most); what is heavy is imported when it builds.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.errors import ConfigError
from pipelines.sections import BenchmarkSection, DataSection, PolicySection

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.config.views import PolicyView
    from pipelines.environments.base import Benchmark
    from pipelines.protocols import Policy


Spec = TypeVar("Spec", "BenchmarkSpec", "PolicySpec")


@dataclass(frozen=True, slots=True)
class BenchmarkSpec:
    """A benchmark as the rest of the platform knows it.

    Args:
        name: of the package and of its section. title: as people write it.
        config: its settings. data: the kinds of data that it plays.
        benchmark: its class, as ``module:name``, which is imported when it is built.
        step_seconds: one step of an episode, its learning included, on one core while all are at work, with the smallest
            stand-in (hidden size 64, 3 layers).
        task_types: the short label of each task type and average that has one.
        packages: distributions whose versions bear on its numbers, besides those that bear on every benchmark's.
        tags: its own markup, each one token of a stand-in's vocabulary.
        cached: ``(folder)`` → the entries of its cache there, each with what is wrong with it (``pipelines/caches.py``); imported
            when it is needed.
    """

    name: str
    title: str
    config: type[BenchmarkSection]
    data: tuple[type[DataSection], ...]
    benchmark: str
    step_seconds: float
    task_types: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    cached: str = "pipelines.caches:sealed_files"

    def build(self, config: BenchmarkSection, data: DataSection) -> Benchmark:
        """The benchmark with these settings, on one of its kinds of data."""
        made: Benchmark = pkgutil.resolve_name(self.benchmark)(config, data)
        return made

    def cached_entries(self, folder: Path) -> Iterator[tuple[Path, str]]:
        """Of its cache in that folder: each entry, and what is wrong with it, "" where nothing is."""
        found: Iterator[tuple[Path, str]] = pkgutil.resolve_name(self.cached)(folder)
        return found


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A policy as the rest of the platform knows it.

    Args:
        build: makes it of what it may read of the configuration and the Hugging Face folder that the run starts from, which is
            also the frozen reference of the KL loss.
        packages: distributions whose versions bear on its numbers, besides those that bear on every artifact; where several
            serve, one is installed.
        token_logits: ``(settings, folder, sequences, places, *, temperature)`` → float32 [places, V], the logits of a checkpoint's
            model behind single tokens; a place is the index of a sequence and that of a token in it. None: it does not show them.
        check_model: ``(settings, folder)`` → measurements; raises ConfigError where the policy would compute something else than the
            folder's model. Done once for a pretrained model's contents. None: there is nothing to check.
    """

    name: str
    config: type[PolicySection]
    build: Callable[[PolicyView, Path], Policy]
    packages: tuple[str, ...] = ()
    token_logits: Callable[..., Tensor] | None = None
    check_model: Callable[[Any, Path], dict[str, float]] | None = None


@cache
def benchmark_specs() -> tuple[BenchmarkSpec, ...]:
    """Every benchmark, by name."""
    return tuple(_specs("pipelines.environments", BenchmarkSpec))


@cache
def policy_specs() -> tuple[PolicySpec, ...]:
    """Every policy, by name."""
    return tuple(_specs("pipelines.policies", PolicySpec))


def benchmark_names() -> tuple[str, ...]:
    return tuple(spec.name for spec in benchmark_specs())


def policy_names() -> tuple[str, ...]:
    return tuple(spec.name for spec in policy_specs())


def benchmark_spec(name: str) -> BenchmarkSpec:
    """Raises ConfigError: there is no such benchmark."""
    return _named(name, "benchmark", {spec.name: spec for spec in benchmark_specs()})


def policy_spec(name: str) -> PolicySpec:
    """Raises ConfigError: there is no such policy."""
    return _named(name, "policy", {spec.name: spec for spec in policy_specs()})


def _specs(parent: str, kind: type[Spec]) -> Iterator[Spec]:
    for module in sorted(pkgutil.iter_modules(import_module(parent).__path__), key=lambda found: found.name):
        if module.ispkg:
            spec = import_module(f"{parent}.{module.name}.spec").SPEC
            if not isinstance(spec, kind) or spec.name != module.name:
                raise TypeError(
                    f"{parent}.{module.name}.spec: SPEC must be a {kind.__name__} of the name {module.name}"
                )
            yield spec


def _named(name: str, what: str, specs: Mapping[str, Spec]) -> Spec:
    if name not in specs:
        raise ConfigError(f"there is no {what} {name}: choose one of {', '.join(specs)}")
    return specs[name]
