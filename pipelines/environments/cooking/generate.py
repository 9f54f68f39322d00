"""Make cooking games: TextWorld's generator draws one, its Inform 7 compiles it; the same bytes for any number of workers.

TextWorld goes through sets of names, so games are made in worker processes alone, which hash text alike. The compilers leave
folders behind (``~/Inform``, and a temporary one when they are killed): they get a home inside the data's folder.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pipelines.environments.base import Tick
from pipelines.environments.cooking.config import CookingGenerated
from pipelines.environments.cooking.patches import foods_that_can_be_cut, games_without_walkthrough
from pipelines.errors import DataError
from pipelines.workers import ordered_map

SPLITS = ("train", "valid", "test")
_SHARE = 4  # games per message to a worker; each takes two seconds
_COMPILERS = ("ni", "inform6")
_SERIAL = slice(0x12, 0x18)  # of a story file's header: the day on which it was compiled


def generate_games(settings: CookingGenerated, folder: Path, *, workers: int, tick: Tick) -> None:
    """Write ``folder/<split>/<number>.z8`` and ``.json`` for every split that has games."""
    jobs = [
        (settings, split, range(start, min(start + _SHARE, settings.holds(split))), folder)
        for split in SPLITS
        for start in range(0, settings.holds(split), _SHARE)
    ]
    for done, _ in enumerate(ordered_map(_make, jobs, workers), start=1):
        tick(done / len(jobs))


def _make(settings: CookingGenerated, split: str, share: range, folder: Path) -> None:
    for index in share:
        make_game(settings, split, index, folder / split / f"game_{index:05d}.z8")


def make_game(settings: CookingGenerated, split: str, index: int, path: Path) -> None:
    """Write one game: ``path`` (a Z-machine story) and beside it the ``.json`` that says what it is made of.

    Raises:
        DataError: TextWorld's compilers do not run on this machine.
    """
    from textworld.generator import compile_game
    from textworld.generator.game import GameOptions

    options = GameOptions()
    options.path, options.force_recompile = str(path), True
    try:
        with _compilers_at_home(path.parent / f".home-{index}"), games_without_walkthrough():
            compile_game(draw_game(settings, split, index, options), options)
    except OSError as error:
        if Path(str(error.filename)).name not in _COMPILERS:
            raise
        raise DataError(
            f"TextWorld's compiler {error.filename} cannot be run here ({error.strerror}): unset INFORM_HOME, install textworld "
            "on x86-64 Linux or macOS, or use data=real"
        ) from None
    path.with_suffix(".ni").unlink()  # the story's source
    about = path.with_suffix(".json")
    game = json.loads(about.read_text("utf-8"))
    game["KB"]["text_grammars_path"] = ""  # where TextWorld is installed; only its generator asks for it
    about.write_text(json.dumps(game), "utf-8")
    story = bytearray(path.read_bytes())
    story[_SERIAL] = b"000000"
    path.write_bytes(story)


def draw_game(settings: CookingGenerated, split: str, index: int, options: Any) -> Any:
    """The game, not yet compiled. ``options``: TextWorld's; they get the game's seeds, which follow from its name alone."""
    from textworld.challenges.tw_cooking.cooking import make

    options.seeds = random.Random(f"{settings.seed} {split} {index}").randrange(2**31)
    difficulty = _difficulty(settings, split, index)
    only_cut = difficulty["cut"] and not difficulty["cook"]
    with foods_that_can_be_cut(str(difficulty["split"])) if only_cut else nullcontext():
        return make(difficulty, options)


def _difficulty(settings: CookingGenerated, split: str, index: int) -> dict[str, object]:
    """The challenge's own options. Skills take turns."""
    skill = settings.skills[index % len(settings.skills)]
    return {
        "recipe": settings.ingredients,
        "take": settings.ingredients,
        "go": settings.rooms,
        "open": settings.closed,
        "cook": "cook" in skill,
        "cut": "cut" in skill,
        "drop": False,  # TextWorld: limited inventories have no walkthrough
        "recipe_seed": 0,
        "split": "test" if split == "test" else "train",
    }


@contextmanager
def _compilers_at_home(home: Path) -> Iterator[None]:
    home.mkdir(parents=True)
    try:
        with patch.dict(os.environ, HOME=str(home)), patch.object(tempfile, "tempdir", str(home)):
            yield
    finally:
        shutil.rmtree(home)
