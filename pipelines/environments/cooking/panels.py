"""Fixed task panels: sorted, hashed, balanced over the skills, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path

from pipelines.environments.base import Panel, in_turns
from pipelines.environments.cooking.generate import SPLITS
from pipelines.environments.cooking.story import check_story
from pipelines.errors import DataError
from pipelines.records import Task

_AGAIN = "make or copy the games again"


def check_games(root: Path) -> None:
    """Whether there are games to train on, by their names. Raises DataError."""
    if not any((root / "train").glob("*.z8")):
        raise DataError(
            f"{root / 'train'} holds no game (*.z8): check data.root or COOKING_DATA, or use data=generated"
        )


def read_panels(root: Path) -> dict[str, Panel]:
    """The panel of every split that has games.

    Raises:
        DataError: there are none, or a game's file is missing or damaged; it is named.
    """
    check_games(root)
    return {split: _panel(root, split) for split in SPLITS if any((root / split).glob("*.z8"))}


def read_game(path: Path) -> tuple[str, str]:
    """A game's skill, and the digest of its two files. Raises DataError."""
    about = path.with_suffix(".json")
    try:
        story, description = path.read_bytes(), about.read_bytes()
        check_story(story)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}): {_AGAIN}") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): {_AGAIN}") from None
    try:
        settings = json.loads(description)["metadata"]["settings"]
        skills = [name for name in ("cook", "cut") if settings.get(name)]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{about} does not describe a cooking game: {_AGAIN}") from None
    return "_".join(skills) or "fetch", hashlib.sha256(story + description).hexdigest()


def _panel(root: Path, split: str) -> Panel:
    """The skills take turns, each in the order of its games' names: the first n tasks are a balanced sub-panel."""
    by_skill: dict[str, list[Task]] = defaultdict(list)
    for path in sorted((root / split).glob("*.z8")):
        skill, digest = read_game(path)
        task = Task("cooking", split, f"{split}/{path.stem}", skill, str(path.relative_to(root)), digest)
        by_skill[skill].append(task)
    return Panel.of(split, in_turns(by_skill[skill] for skill in sorted(by_skill)))
