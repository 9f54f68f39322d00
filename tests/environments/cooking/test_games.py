"""The games' data: the same bytes whoever makes them, as difficult as asked for, held-out food held out, damage named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
import textworld

from pipelines.environments.cooking.benchmark import CookingBenchmark
from pipelines.environments.cooking.config import CookingConfig, CookingGenerated, CookingReal
from pipelines.environments.cooking.generate import draw_game, generate_games
from pipelines.environments.cooking.panels import read_panels
from pipelines.environments.cooking.story import check_story
from pipelines.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::jericho.UnsupportedGameWarning")  # Jericho scores no game of TextWorld


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def recipe_of(path: Path) -> list[list[str]]:
    """(food, cooking, cutting) of each ingredient."""
    found: list[list[str]] = json.loads(path.read_text())["metadata"]["ingredients"]
    return found


def test_a_game_has_the_same_bytes_whoever_makes_it(
    games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker more or less, another home, another hash of text in the parent. The compilers leave nothing behind."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    generate_games(CookingGenerated(train=2, valid=0, test=0), tmp_path / "games", workers=1, tick=lambda _: None)
    made = contents(tmp_path / "games")
    assert sorted(made) == [f"train/game_0000{i}.{kind}" for i in (0, 1) for kind in ("json", "z8")]
    assert made == {name: content for name, content in contents(games).items() if name in made}
    assert list(home.iterdir()) == []
    installed = str(Path(textworld.__file__).parent).encode()
    assert not [name for name, content in made.items() if installed in content]


def test_a_compiler_that_cannot_be_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFORM_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"nowhere/.*/ni .*INFORM_HOME.*data=real"):
        generate_games(CookingGenerated(train=1, valid=0, test=0), tmp_path, workers=1, tick=lambda _: None)


def test_skills_take_turns_and_decide_what_the_recipe_asks(games: Path) -> None:
    panels = read_panels(games)
    assert {split: len(panel.tasks) for split, panel in panels.items()} == {"train": 4, "valid": 1, "test": 1}
    assert [task.task_type for task in panels["train"].tasks] == ["cook", "cook_cut", "cut", "fetch"]
    for split in ("valid", "test"):
        assert [task.task_type for task in panels[split].tasks] == ["fetch"]
    for task in panels["train"].tasks:
        ((_, cooking, cutting),) = recipe_of((games / task.source).with_suffix(".json"))
        assert (cooking != "raw") or "cook" not in task.task_type
        assert (cutting != "uncut") or "cut" not in task.task_type


@pytest.mark.parametrize(
    ("skill", "rooms"),
    [("fetch", 1), ("cut", 9), ("cook", 6), ("cook_cut", 12)],
)
def test_a_game_of_every_difficulty_can_be_drawn(skill: str, rooms: int) -> None:
    """Smaller recipes ask for the first of the same food. TextWorld has food that cannot be cut, and a BBQ from 9 rooms on."""
    from textworld.generator.game import GameOptions

    settings = CookingGenerated.model_validate({"skills": [skill], "rooms": rooms, "ingredients": 5})
    for split in ("train", "test"):
        drawn = draw_game(settings, split, 0, GameOptions()).metadata["ingredients"]
        assert len(drawn) == 5
        assert all(cooking != "raw" for _, cooking, _ in drawn) or "cook" not in skill
        assert all(cutting != "uncut" for _, _, cutting in drawn) or "cut" not in skill


def test_test_games_show_preparations_that_training_never_does(games: Path) -> None:
    """The games that were made, and test games of every skill as they are drawn."""
    from textworld.challenges.tw_cooking.cooking import FOOD_PREPARATIONS_SPLITS
    from textworld.generator.game import GameOptions

    trained = FOOD_PREPARATIONS_SPLITS["train"]
    made = {split: [recipe_of(path) for path in (games / split).glob("*.json")] for split in ("train", "valid", "test")}
    settings = CookingGenerated()
    made["test"] += [
        draw_game(settings, "test", index, GameOptions()).metadata["ingredients"]
        for index in range(len(settings.skills))
    ]
    for split, recipes in made.items():
        assert recipes
        for food, cooking, cutting in chain.from_iterable(recipes):
            assert ((cooking, cutting) in trained.get(food, [])) == (split != "test")


def rewrite(folder: Path, harm: Callable[[bytes], bytes]) -> None:
    path = folder / "train" / "game_00000.z8"
    path.write_bytes(harm(path.read_bytes()))


def test_a_story_by_hand() -> None:
    """64 bytes of header and 8 of story, 1 to 8, whose sum is 36: nine eights are the length. Objects and globals lie at 64 and 65,
    before static memory at 66; high memory, the first instruction, dictionary and abbreviations at 67."""
    header = bytearray(64)
    header[0] = 8
    for at, word in {0x04: 67, 0x06: 67, 0x08: 67, 0x0A: 64, 0x0C: 65, 0x0E: 66, 0x18: 67, 0x1A: 9, 0x1C: 36}.items():
        header[at : at + 2] = word.to_bytes(2)
    story = bytes(header) + bytes(range(1, 9))
    check_story(story + b"\0\0")  # padding
    for at, value, why in ((0, 5, "version"), (0x1B, 10, "72 bytes, and 80"), (70, 0, "checksum is 001d, and 0024"),
                           (0x0B, 66, "another order"), (0x07, 72, "outside"), (0x0F, 68, "another order")):  # fmt: skip
        with pytest.raises(ValueError, match=why):
            check_story(story[:at] + bytes([value]) + story[at + 1 :])


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda folder: (folder / "train/game_00000.json").unlink(), "game_00000.json cannot be read"),
        (lambda folder: (folder / "train/game_00000.json").write_text('{"half'), "game_00000.json"),
        (lambda folder: (folder / "train/game_00000.json").write_text("[]"), "game_00000.json"),
        (lambda folder: shutil.rmtree(folder / "train"), "train holds no game"),
        (
            lambda folder: rewrite(folder, lambda story: story[:-600]),
            r"game_00000\.z8 is damaged \(it has \d+ bytes, and",
        ),
        (lambda folder: rewrite(folder, lambda story: b""), r"game_00000\.z8 is damaged \(it is no story file"),
        (
            lambda folder: rewrite(folder, lambda story: story[:5000] + bytes([story[5000] ^ 4]) + story[5001:]),
            r"game_00000\.z8 is damaged \(its checksum is",
        ),
    ],
)
def test_damaged_games_are_named(games: Path, tmp_path: Path, harm: Callable[[Path], None], named: str) -> None:
    folder = tmp_path / "games"
    shutil.copytree(games, folder)
    harm(folder)
    with pytest.raises(DataError, match=named):
        read_panels(folder)


def test_a_game_that_changed_after_its_panel_was_made_is_not_played(
    cooking: CookingBenchmark, games: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "games"
    shutil.copytree(games, folder)
    task = read_panels(folder)["train"].tasks[0]
    shutil.copy(folder / "valid" / "game_00000.z8", folder / task.source)
    with pytest.raises(DataError, match=task.source):
        cooking.environment(task, folder).reset()


@pytest.mark.parametrize(
    ("what", "other"), [("arguments", "argumants"), ("predicates", "predicats"), ("win_events", "won")]
)
def test_a_description_that_textworld_cannot_read_is_named(
    what: str, other: str, cooking: CookingBenchmark, games: Path, tmp_path: Path
) -> None:
    """The panel is made of it: it is a user's own."""
    folder = tmp_path / "games"
    shutil.copytree(games, folder)
    for about in (folder / "train").glob("*.json"):
        about.write_text(about.read_text().replace(what, other))
    task = read_panels(folder)["train"].tasks[0]
    with pytest.raises(DataError, match=rf"{task.source} cannot be played \(\w+: "):
        cooking.environment(task, folder).reset()


def test_games_of_others_are_read_where_they_lie(games: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COOKING_DATA", str(games))
    real = CookingBenchmark(CookingConfig(), CookingReal())
    real.check()
    assert real.panels(Path("unused")) == read_panels(games)
    monkeypatch.delenv("COOKING_DATA")
    with pytest.raises(DataError, match="COOKING_DATA"):
        real.check()
