"""Settings of the local policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pipelines.cpu import BFLOAT16_FLAGS, cpu_flags
from pipelines.errors import ConfigError
from pipelines.gpus import visible_gpus
from pipelines.planning.devices import GpuSettings
from pipelines.sections import Machines, Plan, PolicySection, PositiveInt, never_bears

if TYPE_CHECKING:
    from pipelines.config import ExperimentConfig


PROBE_TOKENS = 320  # of the text that is compared (``probe``), about


class LocalPolicyConfig(PolicySection):
    """torch, trained and sampled in one process.

    ``engine``: native is our own forward pass, for the families in ``architectures``; transformers takes any
    ``AutoModelForCausalLM`` by its own one; auto is native where the model's family is in the table. ``dtype``: of products and of
    the cache; the parameters that are trained stay float32, and so do sums over layers, norms and all that is computed of logits.
    ``torch_threads``: threads of torch; more than one gives up bit-reproducibility, for the order of sums is then the scheduler's.
    ``device``: auto is a GPU where there is one. ``checkpoint_activations``: an update keeps what is between the layers alone and
    computes the rest again: less memory, a third more time. ``logits_chunk_tokens``: how many tokens' logits exist at once where
    many are scored; None: 48 MiB of them. ``max_episodes``: played beside each other, for each holds a cache; None: all. ``gpu``: what
    a plan reckons with; None: what is here."""

    trains: ClassVar = "any"
    evaluates: ClassVar = True
    adapts: ClassVar = True
    records: ClassVar = ("squared_score_N",)

    name: Literal["local"] = "local"
    engine: Literal["auto", "native", "transformers"] = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    torch_threads: PositiveInt = 1
    device: Literal["auto", "cpu", "cuda"] = never_bears(
        "where it is computed: another rounding, the same settings", "auto"
    )
    checkpoint_activations: bool = never_bears("what is kept or computed again: the same numbers", False)
    logits_chunk_tokens: PositiveInt | None = never_bears(
        "how much is computed at once: another rounding, the same sums", None
    )
    max_episodes: PositiveInt | None = never_bears(
        "how many episodes share a batch: another rounding, the same sampling", None
    )
    gpu: GpuSettings | None = never_bears("which GPU a plan reckons with", None)

    @property
    def machines(self) -> Machines:
        return Machines(gpus=int(self.device == "cuda"))

    @property
    def at_once(self) -> int | None:
        return self.max_episodes

    def takes_gpus(self, experiment: ExperimentConfig) -> bool:
        found = self.device == "auto" and experiment.model.weights == "pretrained" and bool(visible_gpus())
        return self.device == "cuda" or found

    def check_runnable(self, experiment: ExperimentConfig) -> None:
        experiment.model.check_folder()
        if experiment.model.weights == "pretrained":
            self._check_model(Path(experiment.model.pretrained))
        if not self.takes_gpus(experiment) and not cpu_flags() & BFLOAT16_FLAGS:
            self._check_dtypes(experiment)

    def _check_dtypes(self, experiment: ExperimentConfig) -> None:
        for section, dtype in (("policy", self.dtype), ("warm_start", getattr(experiment.warm_start, "dtype", None))):
            if dtype == "bfloat16":
                raise ConfigError(
                    f"{section}.dtype=bfloat16: this CPU multiplies no bfloat16 numbers (it has none of "
                    f"{', '.join(sorted(BFLOAT16_FLAGS))}), and would take longer than with float32: set {section}.dtype=float32"
                )

    def _check_model(self, folder: Path) -> None:
        from pipelines.policies.local.architectures import read_shape
        from pipelines.policies.model_folder import check_vocabulary, check_weights

        if self.engine == "native":
            read_shape(folder)
        check_weights(folder)
        check_vocabulary(folder)

    def plan(self, experiment: ExperimentConfig) -> Plan | None:
        """None: of a stand-in, which fits anywhere and whose time is measured (``flows.launch.jobs``)."""
        if experiment.model.weights == "stand_in":
            return None
        from pipelines.policies.local.planning.plan import make_plan

        return make_plan(experiment, self)

    def check_gpus(self, experiment: ExperimentConfig) -> None:
        if self.device == "cuda" and not visible_gpus():
            raise ConfigError(
                "policy.device=cuda, and this machine shows no GPU: set policy.device=cpu, or launch where there is one"
            )
