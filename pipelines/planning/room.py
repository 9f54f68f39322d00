"""Whether the disk has room for the checkpoints of a pretrained model, and whether a file may be as large as one of theirs."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

from pipelines.config import ExperimentConfig, RunConfig
from pipelines.errors import MachineFailure
from pipelines.planning.shapes import adapter_parameters, shape_of

_GIB = 1 << 30
_MOMENTS, _WEIGHTS = 8, 2  # bytes of a parameter, at least: Adam's two in float32, and weights in bfloat16


def check_room(config: RunConfig) -> None:
    """What a run surely writes, and no more: a stand-in's checkpoints are small, and how many of a model's there are at once the
    store knows.

    Raises:
        MachineFailure: a file of a checkpoint would be larger than this shell's limit, or a checkpoint than what the disk has free.
    """
    experiment, folder = config.experiment, config.execution.artifacts
    trained = _trained(experiment)
    if not trained:
        return
    largest = _MOMENTS * trained // experiment.policy.checkpoint_parts
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and limit < largest:
        raise MachineFailure(
            f"{experiment.cell} writes the moments of {trained / 1e6:.0f}M parameters into files of {largest / _GIB:.1f} GiB, and this "
            f"shell lets a file have {limit / _GIB:.1f}: raise the limit (ulimit -f unlimited)"
        )
    needed, free = (_MOMENTS + _WEIGHTS) * trained, shutil.disk_usage(_existing(folder)).free
    if free < needed:
        raise MachineFailure(
            f"a checkpoint of {experiment.cell} takes {needed / _GIB:.1f} GiB at least, and the disk of {folder.absolute()} has "
            f"{free / _GIB:.1f} free: free some, or set execution.artifacts to a folder on another disk"
        )


def _trained(experiment: ExperimentConfig) -> int:
    """Parameters of a pretrained model that updates change; 0: there are none, or the model is a stand-in."""
    trains = experiment.policy.trains == "any" and experiment.training.iterations > 0
    if experiment.model.weights != "pretrained" or not trains:
        return 0
    shape, adapter = shape_of(experiment.model), experiment.training.adapter
    return shape.parameters if adapter is None else adapter_parameters(shape, adapter)


def _existing(folder: Path) -> Path:
    """The folder, or what of its parents is there already."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
