"""The sections of the configuration in the page's order, each with what must be chosen for it to be there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from flows.reference.leaves import sections_of
from flows.reference.values import values
from pipelines.config import AlgorithmConfig, ExecutionConfig, ExperimentConfig, PretrainedWarmStart, StandInWarmStart
from pipelines.registry import benchmark_specs, policy_specs


@dataclass(frozen=True, slots=True)
class Part:
    """``overrides`` choose the section that is at ``prefix``."""

    title: str
    section: type[BaseModel]
    prefix: str
    overrides: tuple[str, ...] = ()


def parts() -> Iterator[Part]:
    """Inside of a ``composer``."""
    yield from _worlds()
    yield Part("Model", *_of("model"))
    for spec in policy_specs():
        chosen = f"policy={spec.name}"
        yield Part(f"Policy: {chosen}", spec.config, "policy.", (chosen,))
    yield from _methods()
    for name in ("training", "rollout", "evaluation"):
        yield Part(name.capitalize(), *_of(name))
    yield Part("Warm start of a stand-in", StandInWarmStart, "warm_start.")
    yield Part("Warm start of a pretrained model", PretrainedWarmStart, "warm_start.", ("scale=single",))
    trackers = "tracker=[mlflow,tensorboard,wandb]"
    yield Part("Execution", ExecutionConfig, "execution.", (trackers,))


def _worlds() -> Iterator[Part]:
    for spec in benchmark_specs():
        chosen = f"benchmark={spec.name}"
        yield Part(f"Benchmark: {chosen}", spec.config, "benchmark.", (chosen,))
    for spec in benchmark_specs():
        for kind in ("generated", "real"):
            both = (f"data={kind}", f"benchmark={spec.name}")
            source = values(*both)["data.source"]
            section = next(each for each in spec.data if each.model_fields["source"].default == source)
            yield Part(f"Data: {' '.join(both)}", section, "data.", both)


def _methods() -> Iterator[Part]:
    """The algorithm, then each estimator, then what modulates their advantages."""
    yield Part("Algorithm", *_of("algorithm"))
    for section in sections_of(AlgorithmConfig.model_fields["estimator"]):
        option = section.model_fields["name"].default
        chosen = f"algorithm={option}"
        yield Part(f"Estimator: {chosen}", section, "algorithm.estimator.", (chosen,))
    for section in sections_of(ExperimentConfig.model_fields["empg"]):
        option = section.model_fields["arm"].default
        yield Part(f"Modulator: empg={option}", section, "empg.", (f"empg={option}",))
    yield Part("Credit", *_of("credit"))


def _of(name: str) -> tuple[type[BaseModel], str]:
    return sections_of(ExperimentConfig.model_fields[name])[0], f"{name}."
