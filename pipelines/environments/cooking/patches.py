"""What the generator does to TextWorld, and what the environment takes from it that is not public."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from pipelines.patches import require_known, warn_unknown

KNOWN = {"textworld": ("1.7.0",)}


@contextmanager
def games_without_walkthrough() -> Iterator[None]:
    """A game made here does not carry its walkthrough's actions. TextWorld compiles and plays every game once only to write
    them down, which doubles the time, and nobody here reads them."""
    from textworld import GameMaker

    warn_unknown("textworld", KNOWN, "leaving out a game's walkthrough")

    def leave_out(maker: Any, commands: list[str]) -> None: ...

    with patch.object(GameMaker, "set_walkthrough", leave_out):
        yield


@contextmanager
def foods_that_can_be_cut(split: str) -> Iterator[None]:
    """A game whose recipe asks for cut food alone is drawn from the split's food that can be cut. TextWorld takes out the other
    food only where there is no BBQ, and elsewhere raises "high <= 0" when it draws one of it."""
    from textworld.challenges.tw_cooking.cooking import FOOD_PREPARATIONS_SPLITS, FOODS_SPLITS, get_food_preparations

    warn_unknown("textworld", KNOWN, "leaving out food that cannot be cut")
    preparations = get_food_preparations(FOODS_SPLITS[split]) | FOOD_PREPARATIONS_SPLITS[split]
    fitting = {food for food, ways in preparations.items() if any(cutting != "uncut" for _, cutting in ways)}
    foods = {name: [food for food in FOODS_SPLITS[name] if food in fitting] for name in ("train", split)}
    with patch.dict(FOODS_SPLITS, foods):
        yield


def memory_of(engine: Any) -> bytes:
    """The Z-machine's dynamic memory, of an engine that ``textworld.start`` gave."""
    require_known("textworld", KNOWN, "reading the Z-machine's memory")
    memory = engine.unwrapped._jericho.get_state()[0]
    return bytes(memory)
