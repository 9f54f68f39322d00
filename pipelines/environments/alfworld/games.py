"""Genuine ALFWorld games made offline: a room, a task, objects placed in it, written as ALFWorld's own files.

The domain, grammar, goals, sentences and rooms are the package's. A constructive plan (no planner) is played on the
engine: a game is kept only if every command of it is admissible and it wins.
"""

from __future__ import annotations

import json
import random
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.environments.alfworld import rooms
from pipelines.environments.alfworld.config import AlfworldGenerated
from pipelines.environments.alfworld.engine import Engine
from pipelines.environments.alfworld.rooms import receptacle_type
from pipelines.environments.alfworld.scenes import Scene, furnish, location
from pipelines.environments.base import Tick
from pipelines.seeds import derive_seed
from pipelines.workers import ordered_map

_ATTEMPTS = 400
_SHARE = 16  # games per message to a worker


def generate_games(settings: AlfworldGenerated, folder: Path, *, workers: int, tick: Tick) -> None:
    """Write every split's games below ``folder/json_2.1.1``; each is verified winnable on the engine."""
    jobs = [
        (split, range(start, min(start + _SHARE, count)))
        for split, count in (
            ("train", settings.train), ("valid_seen", settings.valid_seen), ("valid_unseen", settings.valid_unseen)
        )
        for start in range(0, count, _SHARE)
    ]  # fmt: skip
    made = ordered_map(_make, [(settings, split, share, folder) for split, share in jobs], workers)
    for done, _ in enumerate(made, start=1):
        tick(done / len(jobs))


@cache
def _engine() -> Engine:
    return Engine()


def _make(settings: AlfworldGenerated, split: str, share: range, folder: Path) -> None:
    for index in share:
        # No translation cache here: most drafts of a game are translated once and never played again.
        write_game(make_game(settings, split, index, _engine(), None), folder)


@dataclass(frozen=True)
class Game:
    """``folder``: "<split>/<task>-<object>-None-<receptacle>-<room>/trial_…"; the rest are the files' contents."""

    folder: str
    game: dict[str, Any]
    trajectory: dict[str, Any]
    problem: str


def make_game(settings: AlfworldGenerated, split: str, index: int, engine: Engine, cache_folder: Path | None) -> Game:
    """The ``index``-th game of a split: a function of (settings, split, index). Task types take turns.

    Raises:
        RuntimeError: no winnable game was found (the difficulty settings leave no room for the task).
    """
    task = rooms.TASK_TYPES[index % len(rooms.TASK_TYPES)]
    numbers = rooms.rooms_for(task, held_out=split == "valid_unseen", most=settings.rooms)
    for attempt in range(_ATTEMPTS):
        rng = random.Random(derive_seed(settings.seed, "game", split, index, attempt))
        room = rooms.load_room(rng.choice(numbers))
        scene = furnish(room, task, settings, rng) if room else None
        if scene is None:
            continue
        made = _write(scene, split, index, rng)
        plan = winning_plan(scene, made.game, engine, cache_folder)
        if plan is not None:
            made.game.update(walkthrough=plan, solvable=True)
            return made
    raise RuntimeError(f"no winnable {task} in {_ATTEMPTS} attempts with {settings}")


# -------------------------------------------------------------------------------------------------------------- write


@cache
def _shipped() -> tuple[str, str, dict[str, Any]]:
    """(domain, grammar, goal library) as installed."""
    rooms.constants()
    from alfworld.gen import goal_library
    from alfworld.info import ALFRED_PDDL_PATH, ALFRED_TWL2_PATH

    return Path(ALFRED_PDDL_PATH).read_text("utf-8"), Path(ALFRED_TWL2_PATH).read_text("utf-8"), goal_library.gdict


def _pddl_name(text: str) -> str:
    for mark, name in (("-", "_minus_"), ("#", "-"), ("|", "_bar_"), ("+", "_plus_"), (".", "_dot_"), (",", "_comma_")):
        text = text.replace(mark, name)
    return text


def _write(scene: Scene, split: str, index: int, rng: random.Random) -> Game:
    domain, grammar, goals = _shipped()
    words = {"obj": scene.target, "recep": scene.destination, "toggle": scene.toggle, "mrecep": ""}
    goal = goals[scene.task]["pddl"].format(**words)
    sentence = rng.choice(goals[scene.task]["templates"]).format(**{k: v.lower() for k, v in words.items()})
    trial = f"trial_T{index:05d}_{''.join(rng.choices(string.digits, k=6))}"
    problem = _pddl_name("\n".join(_problem_lines(scene, trial)) + "\n" + goal)
    name = f"{scene.task}-{scene.target}-None-{scene.destination or scene.toggle}-{scene.room.number}"
    parameters = {
        "object_target": scene.target, "parent_target": scene.destination, "toggle_target": scene.toggle,
        "mrecep_target": "", "object_sliced": False,
    }  # fmt: skip
    trajectory = {
        "task_type": scene.task, "pddl_params": parameters, "task_id": trial,
        "scene": {"scene_num": scene.room.number, "floor_plan": f"FloorPlan{scene.room.number}"},
        "turk_annotations": {"anns": [{"task_desc": sentence}]},
    }  # fmt: skip
    game = {
        "pddl_domain": domain, "grammar": grammar.replace("UNKNOWN GOAL", sentence), "pddl_problem": problem,
        "solvable": None, "walkthrough": None,
    }  # fmt: skip
    return Game(f"{split}/{name}/{trial}", game, trajectory, problem)


def _problem_lines(scene: Scene, trial: str) -> list[str]:
    """The PDDL problem laid out as ALFWorld's ``augment_pddl_states.py`` does ("#" becomes "-" afterwards)."""
    c = rooms.constants()
    names, receptacle_names = sorted(c.OBJECTS_SET - rooms.receptacle_types()), sorted(rooms.receptacle_types())
    objects = [o for o, _ in scene.placed]
    here = {o.split("|")[0] for o in objects}
    poses = {r: scene.room.receptacles[r] for r in scene.receptacles}
    start = "loc|9999|9999|0|30"  # a place where no receptacle is
    kinds = sorted({receptacle_type(r) for r in poses})
    lines = [f"\n(define (problem plan_{trial})\n(:domain alfred)\n(:objects\nagent1 # agent"]
    lines += [f"{n} # object" for n in names] + [f"{n}Type # otype" for n in names]
    lines += [f"{n}Type # rtype" for n in receptacle_names]
    lines += sorted(f"{o} # object" for o in objects) + [f"{r} # receptacle" for r in poses]
    lines += [f"{place} # location" for place in sorted({location(p) for p in poses.values()} | {start})]
    lines += [")\n(:init"]
    lines += [f"(receptacleType {r} {receptacle_type(r)}Type)" for r in poses]
    lines += [f"(objectType {o} {o.split('|')[0]}Type)" for o in objects]
    lines += [f"(canContain {k}Type {o}Type)" for k in kinds for o in sorted(here) if k in rooms.holders(o)]
    lines += [f"(pickupable {o})" for o in objects if o.split("|")[0] != "DeskLamp"]
    lines += [f"(isReceptacleObject {o})" for o in objects if o.split("|")[0] in c.MOVABLE_RECEPTACLES_SET]
    lines += [f"(openable {r})" for r in poses if receptacle_type(r) in c.OPENABLE_CLASS_SET]
    lines += [f"(atLocation agent1 {start})"]
    for affordance in ("Cleanable", "Heatable", "Coolable", "Toggleable", "Sliceable"):
        lines += [f"({affordance.lower()} {o})" for o in objects if rooms.affords(o.split("|")[0], affordance)]
    lines += [f"(inReceptacle {o} {r})" for o, r in scene.placed]
    lines += [f"(receptacleAtLocation {r} {location(p)})" for r, p in poses.items()]
    return [*lines, ")"]


# --------------------------------------------------------------------------------------------------------------- plan


def winning_plan(scene: Scene, game: dict[str, Any], engine: Engine, cache_folder: Path | None) -> list[str] | None:
    """Play the constructive plan; the commands up to the win, or None."""
    engine.load(game, cache_folder)
    state = engine.reset()
    played = []
    for command in _plan(scene, engine.entity_names()):
        if command not in state.admissible:
            return None
        state = engine.step(command)
        played.append(command)
        if state.won:
            return played
    return None


def _plan(scene: Scene, names: dict[str, str]) -> list[str]:
    def name(identifier: str) -> str:
        return names[_pddl_name(identifier).lower()]

    commands: list[str] = []
    opened: set[str] = set()
    at: list[object] = [None]

    def go(receptacle: str, *, reach_in: bool = True) -> None:
        place = location(scene.room.receptacles[receptacle])
        if at[0] != place:  # going to where one already is does nothing
            commands.append(f"go to {name(receptacle)}")
            at[0] = place
        if (
            reach_in
            and receptacle not in opened
            and receptacle_type(receptacle) in rooms.constants().OPENABLE_CLASS_SET
        ):
            commands.append(f"open {name(receptacle)}")
            opened.add(receptacle)

    def first(kind: str) -> str:
        return next(r for r in scene.receptacles if receptacle_type(r) == kind)

    wanted = [(o, r) for o, r in scene.placed if o.split("|")[0] == scene.target]
    for target, source in wanted[: 2 if scene.task == "pick_two_obj_and_place" else 1]:
        go(source)
        commands.append(f"take {name(target)} from {name(source)}")
        if scene.task in rooms.TOOLS:
            tool = first(rooms.TOOLS[scene.task][1])
            go(tool, reach_in=False)
            commands.append(f"{scene.task.split('_')[1]} {name(target)} with {name(tool)}")
        if scene.toggle:
            lamp, stand = next((o, r) for o, r in scene.placed if o.startswith(scene.toggle))
            go(stand, reach_in=False)
            commands.append(f"use {name(lamp)}")
        else:
            destination = first(scene.destination)
            go(destination)
            commands.append(f"move {name(target)} to {name(destination)}")
    return commands


def write_game(game: Game, data: Path) -> None:
    """Write the three files of a game below ``data/json_2.1.1``."""
    folder = data / "json_2.1.1" / game.folder
    folder.mkdir(parents=True)
    (folder / "game.tw-pddl").write_text(json.dumps(game.game, sort_keys=True), "utf-8")
    (folder / "traj_data.json").write_text(json.dumps(game.trajectory, sort_keys=True), "utf-8")
    (folder / "initial_state.pddl").write_text(game.problem, "utf-8")
