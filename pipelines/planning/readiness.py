"""Before a launch: does it fit, and is what it needs on this machine?"""

from __future__ import annotations

from pipelines.config import ExperimentConfig
from pipelines.errors import ConfigError
from pipelines.planning.plan import plan


def check_fits(experiment: ExperimentConfig) -> None:
    """Raises ConfigError: by the estimate, a part of the run is larger than the memory it has."""
    planned = plan(experiment)
    if planned is not None and planned.misfits:
        first, *others = planned.misfits
        more = f" (and {len(others)} more)" if others else ""
        raise ConfigError(f"{experiment.cell} does not fit: {first}{more}; plan=true has the numbers")


def check_machine(experiment: ExperimentConfig) -> None:
    """Raises ConfigError: the GPUs or the engines are not here."""
    experiment.policy.check_gpus(experiment)
    check_engines(experiment)


def check_engines(experiment: ExperimentConfig) -> None:
    """Raises ConfigError: they are not installed beside this Python."""
    experiment.policy.check_engines()
