"""ALFWorld."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipelines.sections import (
    BenchmarkSection,
    FolderData,
    GeneratedData,
    Int,
    NonNegativeInt,
    PositiveInt,
)


class AlfworldConfig(BenchmarkSection):
    """The ALFWorld text game, with the rewards of the GiGPO code base: paid once won, less a penalty for every invalid action."""

    name: Literal["alfworld"] = "alfworld"
    max_steps: PositiveInt = 50
    evaluation_split: Literal["valid_seen", "valid_unseen"] = "valid_seen"


class AlfworldGenerated(GeneratedData):
    """Genuine games made from what the ``alfworld`` package ships.

    ``seed``: of what is drawn. ``receptacles``: how many of a room's take part; 0: all. ``object_types``: how many of a room's take
    part; 0: all. ``max_instances``: objects of one type at most. ``rooms``: rooms of each kind; 0: all. ``train``: training games.
    ``valid_seen``: held-out games in rooms that training shows. ``valid_unseen``: held-out games in rooms that training never
    shows."""

    source: Literal["generated"] = "generated"
    seed: Int = 0
    receptacles: NonNegativeInt = 5
    object_types: NonNegativeInt = 6
    max_instances: PositiveInt = 2
    rooms: NonNegativeInt = 0
    train: PositiveInt = 1600
    valid_seen: NonNegativeInt = 0
    valid_unseen: PositiveInt = 128


class AlfworldReal(FolderData):
    """ALFWorld's games, as ``alfworld-download`` lays them out."""

    variable: ClassVar[str] = "ALFWORLD_DATA"
    needs: ClassVar[str] = "ALFWorld's games (`alfworld-download` fetches them)"
    source: Literal["real"] = "real"
