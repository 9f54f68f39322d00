"""Furnish a room for a task: which receptacles and objects take part, and what lies where."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.environments.alfworld import rooms
from pipelines.environments.alfworld.config import AlfworldGenerated
from pipelines.environments.alfworld.rooms import Room, receptacle_type


@dataclass(frozen=True)
class Scene:
    """A room furnished for a task. ``placed``: (object id, receptacle id)."""

    task: str
    room: Room
    receptacles: tuple[str, ...]
    target: str
    destination: str
    placed: tuple[tuple[str, str], ...]

    @property
    def toggle(self) -> str:
        return "DeskLamp" if self.task == "look_at_obj_in_light" else ""


def furnish(room: Room, task: str, settings: AlfworldGenerated, rng: random.Random) -> Scene | None:
    """Choose target, destination, receptacles and objects; None when the room cannot host the task."""
    chosen = _choose_goal(room, task, rng)
    if chosen is None:
        return None
    target, destination, needed = chosen
    receptacles = _choose_receptacles(room, needed, settings.receptacles, rng)
    if receptacles is None:
        return None
    types = _choose_objects(room, target, settings.object_types, rng)
    placed = _place(receptacles, types, target, destination, task, settings.max_instances, rng)
    if placed is None:
        return None
    if task == "look_at_obj_in_light":
        stand = sorted(r for r in receptacles if receptacle_type(r) in rooms.LAMP_HOLDERS)
        placed.append((_identifier("DeskLamp", rng, placed), rng.choice(stand)))
    return Scene(task, room, tuple(sorted(receptacles)), target, destination, tuple(placed))


def _choose_goal(room: Room, task: str, rng: random.Random) -> tuple[str, str, list[str]] | None:
    """(target type, destination type, receptacles that the task needs)."""
    by_type: dict[str, list[str]] = {}
    for receptacle in room.receptacles:
        by_type.setdefault(receptacle_type(receptacle), []).append(receptacle)
    targets = list(room.movable())
    needed: list[str] = []
    if task in rooms.TOOLS:
        affordance, tool = rooms.TOOLS[task]
        if tool not in by_type:
            return None
        targets = [t for t in targets if rooms.affords(t, affordance)]
        needed.append(rng.choice(by_type[tool]))
    if task == "look_at_obj_in_light":
        stands = sorted(r for r in room.receptacles if receptacle_type(r) in rooms.LAMP_HOLDERS)
        if "DeskLamp" not in room.object_types or not stands:
            return None
        needed.append(rng.choice(stands))
    if not targets:
        return None
    target = rng.choice(sorted(targets))
    homes = sorted(t for t in by_type if t in rooms.holders(target) and t not in {receptacle_type(r) for r in needed})
    if task == "look_at_obj_in_light":
        return (target, "", [*needed, rng.choice(by_type[rng.choice(homes)])]) if homes else None
    if len(homes) < 2:
        return None
    destination = rng.choice(homes)
    source = rng.choice([t for t in homes if t != destination])
    return target, destination, [*needed, rng.choice(by_type[destination]), rng.choice(by_type[source])]


def _choose_receptacles(room: Room, needed: list[str], most: int, rng: random.Random) -> list[str] | None:
    """``needed`` and others, no two at one place: where two are, the engine's "go to" reaches only one of them."""
    others = [r for r in room.receptacles if r not in needed]
    rng.shuffle(others)
    chosen: dict[str, str] = {}
    for receptacle in needed + others:
        if most and len(chosen) == max(most, len(needed)):
            break
        chosen.setdefault(location(room.receptacles[receptacle]), receptacle)
    return list(chosen.values()) if set(needed) <= set(chosen.values()) else None


def _choose_objects(room: Room, target: str, most: int, rng: random.Random) -> list[str]:
    others = [t for t in room.movable() if t != target]
    rng.shuffle(others)
    return [target, *(others if most == 0 else others[: most - 1])]


def _place(
    receptacles: Sequence[str],
    types: Sequence[str],
    target: str,
    destination: str,
    task: str,
    most: int,
    rng: random.Random,
) -> list[tuple[str, str]] | None:
    """Instances of each type in random holders; the target is never at its destination."""
    placed: list[tuple[str, str]] = []
    for kind in types:
        homes = sorted(r for r in receptacles if receptacle_type(r) in rooms.holders(kind))
        number = rng.randint(1, most)
        if kind == target:
            homes = [r for r in homes if receptacle_type(r) != destination]
            number = max(number, 2 if task == "pick_two_obj_and_place" else 1)
            if not homes:
                return None
        placed += [(_identifier(kind, rng, placed), rng.choice(homes)) for _ in range(number) if homes]
    return placed


def _identifier(kind: str, rng: random.Random, placed: Sequence[tuple[str, str]]) -> str:
    """A fresh id in THOR's form, type and place; the place is only part of the name."""
    while True:
        identifier = f"{kind}|{rng.uniform(-3, 3):+06.2f}|{rng.uniform(0, 2):+06.2f}|{rng.uniform(-3, 3):+06.2f}"
        if all(identifier != other for other, _ in placed):
            return identifier


def location(pose: Sequence[float]) -> str:
    """ALFRED's name of the place where the agent stands: quarter metres, quarter turns, camera angle."""
    return f"loc|{round(pose[0] * 4)}|{round(pose[1] * 4)}|{round(pose[2] / 90)}|{pose[3]}"
