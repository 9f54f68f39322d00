"""A run's plan on one device: the memory it needs, the time it takes, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipelines.config import ExperimentConfig, LoraSettings, ModelConfig, PretrainedWarmStart
from pipelines.errors import ConfigError
from pipelines.planning import advice
from pipelines.planning import rows as shared
from pipelines.planning.devices import GpuSettings, host_memory_gib, this_gpu
from pipelines.planning.memory import GIB, Phase
from pipelines.planning.shapes import KNOWN, ModelShape, shape_of
from pipelines.planning.workload import Workload, workload
from pipelines.policies.local.architectures import computes_natively
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.policies.local.planning import memory
from pipelines.policies.local.planning.assumptions import ASSUMED, Assumptions
from pipelines.policies.local.planning.memory import Size
from pipelines.policies.local.planning.speed import Speed, rates, speed

_FEWEST_ROWS = 4  # with fewer, decoding reads the weights for next to nothing


@dataclass(frozen=True)
class LocalPlan:
    """``gpu``: None is the CPU; ``gib``: of the device, or of the machine. ``hosted``: by transformers' engine."""

    experiment: ExperimentConfig
    policy: LocalPolicyConfig
    shape: ModelShape
    gpu: GpuSettings | None
    gib: float
    hosted: bool
    assumed: Assumptions

    @cached_property
    def work(self) -> Workload:
        return workload(self.experiment, self.shape.context_length, self.assumed)

    @cached_property
    def size(self) -> Size:
        training, work = self.experiment.training, self.work
        trains = training.iterations > 0
        rows = max(work.episodes * trains, *work.evaluation_blocks)
        return Size(
            rows=min(rows, self.policy.max_episodes or rows),
            longest=work.longest,
            micro=max(training.micro_batch_tokens, work.longest),
            trains=trains,
            reference=training.kl_coefficient > 0,
            adapter=training.adapter,
            hosted=self.hosted,
        )

    @cached_property
    def check(self) -> Phase | None:
        """Of the host; None: transformers' engine is not compared with itself."""
        return None if self.hosted else memory.check_phase(self.shape, self.assumed)

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """Of the device."""
        return self._trained if self.gpu is not None or self.check is None else (self.check, *self._trained)

    @cached_property
    def _trained(self) -> tuple[Phase, ...]:
        cuda, warm_start = self.gpu is not None, self.experiment.warm_start
        run = memory.phases(self.shape, self.policy, self.size, cuda, self.assumed)
        if isinstance(warm_start, PretrainedWarmStart):
            imitation = memory.warm_start_phase(
                self.shape, self.policy, warm_start, self.work.longest, self.hosted, cuda, self.assumed
            )
            run = imitation, *run
        if self.size.trains and not cuda:
            run = *run, memory.analysis_phase(self.shape, self.policy, self.size, self.assumed)
        return run

    @cached_property
    def speed(self) -> Speed:
        asked = self.experiment.warm_start
        warm_start = asked if isinstance(asked, PretrainedWarmStart) else None
        device = rates(self.policy, self.gpu, self.assumed)
        return speed(
            self.shape, self.policy, self.work, warm_start, device,
            reference=self.size.reference, adapted=self.size.adapter is not None, rereads=self._rereads, assumed=self.assumed,
        )  # fmt: skip

    @property
    def _rereads(self) -> float:
        """A transcript that grows to its whole length over the steps is read anew at every one of them, half of it as the mean."""
        benchmark = self.experiment.benchmark
        return benchmark.max_steps / 2 if self.hosted and benchmark.prompt.history == "full" else 1.0

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        iterations = self.experiment.training.iterations
        return (
            self.warm_start_seconds + iterations * self.speed.iteration + self.work.evaluations * self.speed.evaluation
        )

    @property
    def warm_start_seconds(self) -> float:
        return self.speed.warm_start

    @property
    def gpus(self) -> int:
        return int(self.gpu is not None)

    @property
    def assumptions(self) -> str:
        return self.assumed.sentence(self.gpu is not None, self.hosted)

    @property
    def limit(self) -> float:
        """GiB that may be planned with."""
        return self.gib * (1 - self.headroom)

    @property
    def headroom(self) -> float:
        return self.assumed.kept_free(self.hosted)

    @property
    def at_once(self) -> int | None:
        """Runs on a GPU take turns. The check is made once for all of them."""
        largest = max(phase.total for phase in self._trained) / GIB
        return None if self.gpu is not None else max(1, int(self.limit / largest))

    @cached_property
    def excess(self) -> dict[str, float]:
        """GiB too many, of each phase; empty: everything fits."""
        over = {phase.name: phase.total / GIB - self.limit for phase in self.phases}
        if self._beside_a_gpu is not None:
            over["check"] = self._beside_a_gpu.total / GIB - host_memory_gib() * (1 - self.headroom)
        return {name: gib for name, gib in over.items() if gib > 0}

    @property
    def _beside_a_gpu(self) -> Phase | None:
        """The check, which is the host's; of another machine's host nothing is known."""
        return self.check if self.gpu is not None and self.policy.gpu is None else None

    @cached_property
    def misfits(self) -> tuple[str, ...]:
        of_the_device = self._of_the_device()
        if self._beside_a_gpu is None or "check" not in self.excess:
            return of_the_device
        return (
            f"check needs {self._beside_a_gpu.total / GIB:.1f} GiB of the host's {host_memory_gib():.1f} less {self.headroom:.0%} of "
            f"headroom, {self.excess['check']:.1f} too many",
            *of_the_device,
        )

    def _of_the_device(self) -> tuple[str, ...]:
        return tuple(
            f"{phase.name} needs {phase.total / GIB:.1f} GiB of {self._device}'s {self.gib:.1f} less {self.headroom:.0%} of "
            f"headroom, {self.excess[phase.name]:.1f} too many"
            for phase in self.phases
            if phase.name in self.excess
        )

    @cached_property
    def remedy(self) -> str:
        if set(self.excess) == {"check"}:
            return (
                "policy.engine=native is compared with transformers once, in float32 on the host: use a machine with more memory, or "
                "set policy.engine=transformers, which is compared with nobody and slower"
            )
        if not self.size.trains:
            return advice.said(
                self,
                "a shorter rollout.max_context_tokens needs a smaller cache; else a smaller model, or policy=vllm",
            )
        if self.experiment.training.adapter is None and advice.remedy(self) is None:
            warm_start = {"warm_start.adapter": LoraSettings()} if self.experiment.warm_start else {}
            adapted = self.changed({"training.adapter": LoraSettings(), **warm_start})
            if (said := advice.by_adapter(adapted, {"training.adapter": "lora"})) is not None:
                return said
        return advice.said(
            self,
            "training.kl_coefficient=0 does without the reference; a shorter rollout.max_context_tokens needs a smaller cache; else a "
            "smaller model, or policy=openrlhf with offload",
        )

    def changes(self) -> Iterator[advice.Change]:
        """What could be set otherwise and trains the same."""
        tokens = self.experiment.training.micro_batch_tokens
        while tokens // 2 >= self.work.longest:
            tokens //= 2
            yield {"training.micro_batch_tokens": tokens}
        rows = self.size.rows
        while (rows := rows // 2) >= _FEWEST_ROWS:
            yield {"policy.max_episodes": rows}
        if not self.policy.checkpoint_activations:
            yield {"policy.checkpoint_activations": True}
        if self.policy.dtype == "float32":
            yield {"policy.dtype": "bfloat16"}
        warm_start = self.experiment.warm_start
        if isinstance(warm_start, PretrainedWarmStart):
            for key, value in (("checkpoint_activations", True), ("dtype", "bfloat16")):
                if getattr(warm_start, key) != value:
                    yield {f"warm_start.{key}": value}
                    yield {f"policy.{key}": value, f"warm_start.{key}": value}

    def changed(self, change: advice.Change) -> LocalPlan:
        experiment = self.experiment
        for section in ("policy", "training", "warm_start"):
            values = {key.partition(".")[2]: value for key, value in change.items() if key.startswith(f"{section}.")}
            if values:
                now = getattr(experiment, section).model_copy(update=values)
                experiment = experiment.model_copy(update={section: now})
        policy = experiment.policy
        assert isinstance(policy, LocalPolicyConfig)
        return LocalPlan(experiment, policy, self.shape, self.gpu, self.gib, self.hosted, self.assumed)

    # ------------------------------------------------------------------------------------------------------ shown

    @property
    def _device(self) -> str:
        return self.gpu.name if self.gpu is not None else "this machine"

    def rows(self, runs: int) -> Iterable[tuple[str, str]]:
        """See ``pipelines.sections.Plan.rows``."""
        if self.size.trains:
            yield "stages", shared.stages(self.experiment, self.work)
            yield from zip(
                ("iteration", ""), shared.iteration(self.experiment, self.work, self.size.micro), strict=True
            )
        else:
            yield "evaluation", self._played()
        yield "device", self._where()
        yield from shared.memory("GiB", self.phases, self.limit, self.gib, self.headroom)
        yield from zip(("time", ""), self._time(runs), strict=self.size.trains)
        yield from shared.verdict(self, f"with {self.headroom:.0%} of {self._device}'s memory to spare")

    def _where(self) -> str:
        policy, threads = self.policy, self.policy.torch_threads
        said = [self._device if self.gpu else f"CPU, {threads} thread{'s' if threads > 1 else ''}", policy.dtype]
        said += ["transformers' engine"] if self.hosted else []
        said += ["activations checkpointed"] if policy.checkpoint_activations else []
        said += [f"LoRA of rank {self.size.adapter.rank}"] if self.size.adapter else []
        return f"{', '.join(said)}; {self.shape.parameters / 1e6:,.0f}M parameters"

    def _played(self) -> str:
        played = self.experiment.evaluation
        return (
            f"{played.games} tasks × {played.samples} = {sum(self.work.evaluation_blocks):,} episodes, at most {self.size.rows} at "
            f"once, of sequences of at most {self.work.longest:,} tokens"
        )

    def _time(self, runs: int) -> tuple[str, ...]:
        planned, iterations = self.speed, self.experiment.training.iterations
        if not iterations:
            return (shared.hours(self.seconds, runs),)
        parts = " · ".join(f"{name} {seconds:,.0f} s" for name, seconds in planned.seconds.items() if seconds)
        warm_start = f"warm start {planned.warm_start / 3600:.1f} h; " if planned.warm_start else ""
        return (
            f"{warm_start}{parts}: {planned.iteration / 60:.1f} min an iteration; {iterations} of them and {self.work.evaluations} "
            f"evaluations of {planned.evaluation:,.0f} s: {shared.hours(self.seconds, runs)}",
            f"{planned.decoded_per_s:,.0f} tokens/s decoded ({min(self.work.batches[0], self.size.rows)} rows), "
            f"{planned.trained_per_s:,.0f} tokens/s trained",
        )


def is_hosted(model: ModelConfig, policy: LocalPolicyConfig) -> bool:
    """Whether transformers' engine computes the model; those known by name are all of families of our own."""
    if policy.engine == "auto" and model.pretrained in KNOWN:
        return False
    return not computes_natively(Path(model.pretrained), policy.engine)


def make_plan(experiment: ExperimentConfig, policy: LocalPolicyConfig, assumed: Assumptions = ASSUMED) -> LocalPlan:
    """``policy``: the experiment's own.

    Raises:
        ConfigError: the model is unknown, or the GPU that is asked for.
    """
    gpu = None if policy.device == "cpu" else policy.gpu or this_gpu()
    if policy.device == "cuda" and gpu is None:
        raise ConfigError(
            "policy.device=cuda, and this machine shows no GPU to plan with: name one, as +cluster/gpu@policy.gpu=h200"
        )
    gib = host_memory_gib() if gpu is None else gpu.memory_gib
    return LocalPlan(
        experiment, policy, shape_of(experiment.model), gpu, gib, is_hosted(experiment.model, policy), assumed
    )
