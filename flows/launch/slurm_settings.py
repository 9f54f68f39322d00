"""``hydra.launcher`` of ``hydra/launcher=slurm``, validated before anything is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from flows.configure.explain import closest, explain, explain_validation
from pipelines.errors import ConfigError
from pipelines.sections import NonNegativeInt, Positive, PositiveInt, Section

Name = Annotated[str, Field(min_length=1, coerce_numbers_to_str=True)]


class SlurmSettings(Section):
    """Each value's meaning stands beside it in ``conf/hydra/launcher/slurm.yaml``. None: the cluster's default; of
    ``gpus_per_node``: those of the policy. Other options of sbatch: ``additional_parameters``."""

    target: str = Field(alias="_target_")
    submitit_folder: Name
    name: Name
    partition: Name | None
    account: Name | None
    qos: Name | None
    constraint: Name | None
    timeout_min: PositiveInt
    signal_delay_s: PositiveInt
    max_num_timeout: NonNegativeInt
    array_parallelism: PositiveInt
    cpus_per_task: PositiveInt
    mem_gb: Positive | None
    gpus_per_node: NonNegativeInt | None
    nodes: PositiveInt
    tasks_per_node: PositiveInt
    srun_args: list[str]
    stderr_to_stdout: bool
    additional_parameters: dict[str, Any]
    setup: list[str]

    @field_validator("nodes", "tasks_per_node")
    @classmethod
    def _one_process(cls, number: int) -> int:
        if number != 1:
            raise ValueError("submitit starts one process, on the first node; a job's nodes are policy.cluster.nodes")
        return number

    @field_validator("additional_parameters")
    @classmethod
    def _one_value_each(cls, options: dict[str, Any]) -> dict[str, Any]:
        for option, value in options.items():
            if not isinstance(value, bool | int | float | str):
                raise ValueError(f"{option} is an option of sbatch and has one value, a text, a number or true")
        return options

    @field_validator("setup", mode="before")
    @classmethod
    def _lines(cls, setup: Any) -> Any:
        return [setup] if isinstance(setup, str) else setup or []

    @model_validator(mode="after")
    def _ends_in_time(self) -> SlurmSettings:
        if self.signal_delay_s >= self.timeout_min * 60:
            raise ValueError(
                f"signal_delay_s={self.signal_delay_s} before the end of timeout_min={self.timeout_min} is before the start: "
                "lower one, or raise the other"
            )
        return self

    def for_sbatch(self) -> dict[str, Any]:
        """What submitit turns into options of sbatch."""
        values = self.model_dump(exclude={"target", "submitit_folder", "max_num_timeout"}, exclude_none=True)
        return {key: value for key, value in values.items() if (key, value) != ("gpus_per_node", 0)}


def slurm_settings(hydra: Any) -> SlurmSettings | None:
    """The settings, where ``hydra/launcher=slurm`` is chosen. ``hydra``: Hydra's own node of a configuration.

    Raises:
        ConfigError: a key that is not known, a value that cannot be, or SLURM by another launcher.
    """
    from omegaconf import OmegaConf

    if not OmegaConf.is_dict(hydra.launcher):
        raise ConfigError(
            "hydra.launcher is a section: choose it with hydra/launcher=slurm, and set its values one by one"
        )
    if not str(hydra.launcher.get("_target_", "")).endswith("SlurmLauncher"):
        return None
    choice = hydra.runtime.choices["hydra/launcher"]
    if choice != "slurm":
        raise ConfigError(f"hydra/launcher={choice} knows nothing of policy.cluster: choose hydra/launcher=slurm")
    try:
        launcher = OmegaConf.to_container(hydra.launcher, resolve=True)
    except Exception as error:
        raise ConfigError(explain(error)) from None
    assert isinstance(launcher, dict)
    return _validated({str(key): value for key, value in launcher.items()})


def _validated(launcher: Mapping[str, Any]) -> SlurmSettings:
    names = [field.alias or name for name, field in SlurmSettings.model_fields.items()]
    for key in launcher.keys() - set(names):
        meant = closest(
            f"hydra.launcher.{key}", [f"hydra.launcher.{name}" for name in names if not name.startswith("_")]
        )
        raise ConfigError(
            f"unknown key hydra.launcher.{key}{meant}; other options of sbatch: +hydra.launcher.additional_parameters.<option>=…"
        )
    try:
        return SlurmSettings.model_validate(launcher)
    except ValidationError as error:
        problems = [{**problem, "loc": ("hydra", "launcher", *problem["loc"])} for problem in error.errors()]
        raise ConfigError(explain_validation(problems)) from None
