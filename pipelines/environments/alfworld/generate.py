"""Generate the games of all splits, in parallel, the same bytes for any number of workers."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pipelines.environments.alfworld.config import AlfworldGenerated
from pipelines.environments.alfworld.engine import Engine
from pipelines.environments.alfworld.games import make_game, write_game
from pipelines.environments.base import Tick
from pipelines.workers import ordered_map

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
