"""The 120 real THOR rooms that the ``alfworld`` package ships: object types, receptacles and their poses."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

TASK_TYPES = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
HELD_OUT_ROOMS = frozenset({10, 219, 308, 424})  # ALFRED's valid_unseen rooms: one of each kind
_KINDS = {
    "Kitchen": range(1, 31),
    "LivingRoom": range(201, 231),
    "Bedroom": range(301, 331),
    "Bathroom": range(401, 431),
}
TOOLS = {  # what a task needs besides its destination: (affordance of the object, receptacle)
    "pick_clean_then_place_in_recep": ("Cleanable", "SinkBasin"),
    "pick_heat_then_place_in_recep": ("Heatable", "Microwave"),
    "pick_cool_then_place_in_recep": ("Coolable", "Fridge"),
}
_FIXTURES = frozenset(  # objects of ALFRED that stay where they are
    [
        "DeskLamp",
        "FloorLamp",
        "LightSwitch",
        "Window",
        "Chair",
        "StoveKnob",
        "Faucet",
        "Mirror",
        "Painting",
        "Blinds",
        "Curtains",
        "HousePlant",
        "Television",
        "Sink",
        "Bathtub",
        "ShowerDoor",
        "ShowerGlass",
        "Poster",
        "Stool",
        "Lamp",
    ]
)
LAMP_HOLDERS = frozenset(["Desk", "SideTable", "Dresser", "DiningTable", "CoffeeTable", "Shelf"])

Pose = tuple[float, float, float, int]


@dataclass(frozen=True)
class Room:
    """``receptacles``: id ("Cabinet|-00.29|+01.97|-02.37") → agent's pose in front of it."""

    number: int
    object_types: tuple[str, ...]
    receptacles: dict[str, Pose]

    def movable(self) -> tuple[str, ...]:
        """Object types of the room that can be carried and put somewhere in it."""
        present = {receptacle_type(r) for r in self.receptacles}
        return tuple(t for t in self.object_types if t not in _FIXTURES and present & holders(t))


def receptacle_type(receptacle: str) -> str:
    """ "Sink|x|y|z|SinkBasin" is a SinkBasin."""
    parts = receptacle.split("|")
    return parts[4] if len(parts) > 4 and parts[4] else parts[0]


@cache
def constants() -> ModuleType:
    """``alfworld.gen.constants``; ALFWORLD_DATA is set first, else the import makes a folder in the home."""
    os.environ.setdefault("ALFWORLD_DATA", tempfile.gettempdir())
    return import_module("alfworld.gen.constants")


@cache
def receptacle_types() -> frozenset[str]:
    return frozenset(constants().RECEPTACLES) - frozenset(constants().MOVABLE_RECEPTACLES)


@cache
def holders(object_type: str) -> frozenset[str]:
    """Receptacle types that may hold the object type."""
    allowed = constants().VAL_RECEPTACLE_OBJECTS
    return frozenset(r for r in receptacle_types() if object_type in allowed.get(r, ()))


def affords(object_type: str, affordance: str) -> bool:
    return object_type in constants().VAL_ACTION_OBJECTS[affordance]


@cache
def load_room(number: int) -> Room | None:
    """None for a number without a layout."""
    layouts = Path(str(constants().__file__)).parent / "layouts"
    poses_file = layouts / f"FloorPlan{number}-openable.json"
    if not poses_file.exists():
        return None
    poses = json.loads(poses_file.read_text("utf-8"))
    types = json.loads((layouts / f"FloorPlan{number}-objects.json").read_text("utf-8"))
    known = receptacle_types()
    return Room(
        number,
        tuple(sorted(t for t in set(types) if t in constants().OBJECTS_SET and t not in known)),
        {r: tuple(p) for r, p in sorted(poses.items()) if receptacle_type(r) in known},
    )


def rooms_for(task: str, *, held_out: bool, most: int = 0) -> list[int]:
    """Rooms whose kind fits the task; ``most`` > 0 keeps the first of each kind (a curriculum of few rooms)."""
    numbers = []
    for kind in sorted(constants().GOALS_VALID[task]):
        fitting = [n for n in _KINDS[kind] if (n in HELD_OUT_ROOMS) == held_out and load_room(n) is not None]
        numbers += fitting[:most] if most else fitting
    return numbers
