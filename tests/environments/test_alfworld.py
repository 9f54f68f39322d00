"""ALFWorld: the fast engine says what the stock one says; games, panels, prompts and answers."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config.views import PanelView
from pipelines.environments.alfworld.benchmark import AlfworldBenchmark
from pipelines.environments.alfworld.config import AlfworldConfig, AlfworldReal
from pipelines.environments.alfworld.engine import Engine
from pipelines.environments.alfworld.games import generate_games
from pipelines.environments.alfworld.prompts import prompt, read_answer
from pipelines.environments.alfworld.rooms import HELD_OUT_ROOMS, TASK_TYPES
from pipelines.environments.base import Answer, Turn
from pipelines.errors import DataError
from pipelines.protocols import Observation
from pipelines.sections import PromptSettings
from pipelines.stages.setup import evaluation_tasks
from tests.environments.conformance import walk
from tests.environments.conftest import SETTINGS

Said = tuple[str, tuple[str, ...], bool]


def ours(game: Path, commands: Iterator[str] | None, rng: random.Random) -> tuple[list[str], list[Said]]:
    """Random play, a fifth of it nonsense."""
    engine = Engine()
    engine.load(json.loads(game.read_text()))
    state = engine.reset()
    played, said = [], [(state.feedback, state.admissible, state.won)]
    for _ in range(25):
        command = rng.choice(state.admissible) if rng.random() < 0.8 else rng.choice(["fly", "go to desk 99", " look "])
        state = engine.step(command)
        played.append(command)
        said.append((state.feedback, state.admissible, state.won))
        if state.won:
            break
    return played, said


def stock(game: Path, commands: list[str]) -> list[Said]:
    os.environ.setdefault("ALFWORLD_DATA", str(game.parent))
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld.envs import PddlEnv

    environment = AlfredDemangler(PddlEnv(textworld.EnvInfos(admissible_commands=True)), shuffle=False)
    environment.load(str(game))
    states = [environment.reset(), *(environment.step(command)[0] for command in commands)]
    return [(s.feedback, tuple(s["admissible_commands"]), bool(s["won"])) for s in states]


@pytest.mark.parametrize("kind", range(6))
def test_the_engine_says_what_the_stock_engine_says(alfworld: AlfworldBenchmark, games: Path, kind: int) -> None:
    task = alfworld.panels(games)["train"].tasks[kind]
    assert task.task_type == TASK_TYPES[kind]
    played, said = ours(games / task.source, None, random.Random(kind))
    assert said == stock(games / task.source, played)


def test_an_engine_is_used_again_for_another_game(alfworld: AlfworldBenchmark, games: Path) -> None:
    first, second = (json.loads((games / t.source).read_text()) for t in alfworld.panels(games)["train"].tasks[:2])
    engine = Engine()

    def opening(game: dict[str, str]) -> str:
        engine.load(game)
        return engine.reset().feedback

    assert opening(first) != opening(second)
    again = opening(first)
    engine.step("inventory")
    assert engine.reset().feedback == again


@pytest.mark.parametrize("kind", range(6))
def test_forks_answer_as_a_replay_would_and_go_their_own_ways(
    alfworld: AlfworldBenchmark, games: Path, kind: int
) -> None:
    """One fork of the start, and one of the middle of an episode in which lamps, doors and things were handled."""
    task, rng = alfworld.panels(games)["train"].tasks[kind], random.Random(kind)
    begun = alfworld.environment(task, games)
    actions, ways = list[str](), list[list[str]]()
    answers: list[object] = [begun.reset()]
    start = begun.fork()
    with pytest.raises(RuntimeError):
        alfworld.environment(task, games).fork()
    admissible = start.step("look").observation.admissible
    for _ in range(8):
        actions.append(rng.choice(admissible))
        outcome = begun.step(actions[-1])
        admissible = outcome.observation.admissible
    middle = begun.fork()
    for environment, before in ((begun, actions), (middle, actions), (start, ["look"])):
        way = list[str]()
        for _ in range(8):
            way.append(rng.choice([*admissible, "fly"]))
            outcome = environment.step(way[-1])
            answers.append((outcome, environment.state_key()))
            admissible = outcome.observation.admissible
        ways.append([*before, *way])
    for environment in (begun, middle, start):
        environment.close()
    assert answers == [
        answers[0],
        *(answer for way in ways for answer in walk(alfworld, task, games, way)[-8:]),
    ]


# ---------------------------------------------------------------------------------------------------------- state keys


def library_facts(engine: Engine) -> set[str]:
    """What the library's state says that holds, in the words of ``Proposition``."""
    facts = (atom.get_fact(engine._state.name2type) for atom in engine._state._atoms())
    return {str(fact) for fact in facts if not fact.is_negation and not fact.name.startswith("new-axiom@")}


def key_of(facts: set[str]) -> str:
    """The definition: the exclusive or of the facts' SHA-256, of each the first 16 bytes."""
    total = 0
    for fact in facts:
        total ^= int(hashlib.sha256(fact.encode()).hexdigest()[:32], 16)
    return f"{total:032x}"


@pytest.mark.parametrize("kind", range(6))
def test_the_state_key_is_of_the_facts_that_hold_in_the_library(
    alfworld: AlfworldBenchmark, games: Path, kind: int
) -> None:
    """Facts that no operator changes are those of the problem; all others are read from the library after every step."""
    task, rng, engine = alfworld.panels(games)["train"].tasks[kind], random.Random(kind), Engine()
    engine.load(json.loads((games / task.source).read_text()))
    state = engine.reset()
    start = {str(fact) for fact in engine._state.facts if not fact.name.startswith("new-axiom@")}
    atoms = (atom.get_fact(engine._state.name2type) for atom in engine._state._atoms())
    still = start - {str(fact.negate() if fact.is_negation else fact) for fact in atoms}
    switched = 0
    for _ in range(120):
        assert engine.state_key() == key_of(still | library_facts(engine))
        lamps = [command for command in state.admissible if command.startswith("use ")]
        command = rng.choice(lamps if lamps and rng.random() < 0.5 else state.admissible)
        switched += command.startswith("use ")
        state = engine.step(command)
        if state.won:
            break
    assert switched or "look_at" not in task.task_type


def play_to_key(benchmark: AlfworldBenchmark, folder: Path, number: int, commands: list[str]) -> str:
    environment = benchmark.environment(benchmark.panels(folder)["train"].tasks[number], folder)
    environment.reset()
    for command in commands:
        assert environment.step(command).valid, command
    key = environment.state_key()
    environment.close()
    return key


def test_what_was_undone_leaves_no_trace_in_the_state_key(alfworld: AlfworldBenchmark, games: Path) -> None:
    """Opening and closing, going away and back, switching a lamp on and off and on."""
    for number, task in enumerate(alfworld.panels(games)["train"].tasks):
        environment = alfworld.environment(task, games)
        admissible = environment.reset().admissible
        opened = None
        for place in [command for command in admissible if command.startswith("go to ")]:
            shown = environment.step(place).observation.admissible
            if opened is None and (openers := [c for c in shown if c.startswith("open ")]):
                opened = (place, openers[0])
        environment.close()
        if opened is None:
            continue
        place, opener = opened
        elsewhere = next(c for c in admissible if c.startswith("go to ") and c != place)
        closer = opener.replace("open ", "close ")
        before = play_to_key(alfworld, games, number, [place, opener, closer])
        assert play_to_key(alfworld, games, number, [place, opener]) != before
        assert play_to_key(alfworld, games, number, [place, opener, closer, opener, closer]) == before
        assert play_to_key(alfworld, games, number, [place, opener, closer, elsewhere, place]) == before
        assert play_to_key(alfworld, games, number, [place, opener, closer, elsewhere]) != before
        return
    pytest.fail("no game has anything to open")


def test_a_lamp_is_on_or_off_in_the_state_key(alfworld: AlfworldBenchmark, games: Path) -> None:
    """The library reports both branches of "if on then off, if off then on"; the key holds the one that was taken."""
    number, task = next(
        (i, t) for i, t in enumerate(alfworld.panels(games)["train"].tasks) if t.task_type == "look_at_obj_in_light"
    )
    environment = alfworld.environment(task, games)
    for place in environment.reset().admissible:
        if place.startswith("go to "):
            lamps = [c for c in environment.step(place).observation.admissible if c.startswith("use ")]
            if lamps:
                break
    environment.close()
    once, twice, thrice = (play_to_key(alfworld, games, number, [place, *lamps[:1] * times]) for times in (1, 2, 3))
    assert once == thrice != twice


def test_games_are_the_same_bytes_for_any_number_of_workers(games: Path, tmp_path: Path) -> None:
    generate_games(SETTINGS, tmp_path, workers=2, tick=lambda _: None)
    files = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {p.relative_to(games): p.read_bytes() for p in games.rglob("*") if p.is_file()}


def test_the_corpus_does_not_depend_on_the_length_of_episodes(games: Path) -> None:
    short, long = (
        list(AlfworldBenchmark(AlfworldConfig(max_steps=steps), SETTINGS).corpus(games)) for steps in (3, 20)
    )
    assert short == long


def test_held_out_rooms_are_held_out(alfworld: AlfworldBenchmark, games: Path) -> None:
    panels = alfworld.panels(games)
    for split, panel in panels.items():
        rooms = {int(task.id.split("/")[0].rsplit("-", 1)[1]) for task in panel.tasks}
        assert (rooms <= HELD_OUT_ROOMS) == (split == "valid_unseen")
        assert rooms.isdisjoint(HELD_OUT_ROOMS) == (split == "train")


def test_the_first_tasks_of_a_panel_are_balanced(alfworld: AlfworldBenchmark, games: Path) -> None:
    tasks = evaluation_tasks(PanelView(split="valid_unseen", games=6), alfworld.panels(games))
    assert [task.task_type for task in tasks] == list(TASK_TYPES)


def test_real_data_is_read_as_it_is(alfworld: AlfworldBenchmark, games: Path, tmp_path: Path) -> None:
    shutil.copytree(games / "json_2.1.1", tmp_path / "json_2.1.1")
    real = AlfworldBenchmark(AlfworldConfig(), AlfworldReal(root=tmp_path))
    assert real.panels(tmp_path / "unused") == alfworld.panels(games)


def test_missing_and_damaged_data_are_named(
    alfworld: AlfworldBenchmark, games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)
    with pytest.raises(DataError, match="alfworld-download"):
        AlfworldBenchmark(AlfworldConfig(), AlfworldReal()).panels(tmp_path)
    with pytest.raises(DataError, match="no ALFWorld data at"):
        AlfworldBenchmark(AlfworldConfig(), AlfworldReal(root=tmp_path)).panels(tmp_path)
    shutil.copytree(games / "json_2.1.1", tmp_path / "json_2.1.1")
    task = alfworld.panels(games)["train"].tasks[0]
    game = tmp_path / task.source
    game.write_bytes(game.read_bytes()[: game.stat().st_size // 2])
    with pytest.raises(DataError, match=r"game.tw-pddl is damaged"):
        alfworld.panels(tmp_path)
    with pytest.raises(DataError, match="not the game of the panel"):
        alfworld.environment(task, tmp_path).reset()


# ------------------------------------------------------------------------------------------------------------ prompts

ROOM = Observation("You are in a room.\n\nYour task is to: put a pen in desk.", ("go to desk 1", "help", "look"))
DESK = Observation("You arrive at desk 1.", ("look",))


def test_the_full_transcript_grows() -> None:
    terse = PromptSettings(history="full", show_admissible=False, instructions=False)
    first = prompt([], ROOM, terse)
    assert (first.text, first.continues) == (ROOM.text, False)
    second = prompt([Turn(ROOM, "…")], DESK, terse)
    assert (second.text, second.continues) == (DESK.text, True)


def test_the_window_is_a_fresh_prompt_with_the_last_two_observations() -> None:
    def turn(i: int) -> Turn:
        return Turn(Observation(f"obs {i}" if i else ROOM.text), f"<think>t</think><action>act {i}</action>")

    made = prompt([turn(0), turn(1), turn(2)], DESK, PromptSettings(history=2))
    assert not made.continues
    text = made.text
    assert "Your task is to: put a pen in desk." in text
    assert "already taken 3 step(s)" in text
    assert "[Observation 2: 'obs 1', Action 2: 'act 1']\n[Observation 3: 'obs 2', Action 3: 'act 2']" in text
    assert "[Observation 1" not in text
    assert "at step 4 and your current observation is: You arrive at desk 1." in text
    assert "admissible actions of the current situation are: ['look']" in text
    assert "<think> </think>" in text
    assert "'help'" not in prompt([], ROOM, PromptSettings(history=2)).text


@pytest.mark.parametrize(
    ("answer", "action"),
    [
        ("<think>a</think><action>look</action>", "look"),
        ("<think>a</think> then <action> go to desk 1 </action> end", "go to desk 1"),
        ("<think>a</think><action>look</action><action>inventory</action>", "inventory"),
        ("<action>look</action>", None),
        ("<think>a<action>look</action>", None),
        ("<think>a</think><action>look", None),
        ("<think>a</think><action></action>", None),
        ("<think><action>look</action></think>", None),
        ("<think>a</think><action>go <action>look</action></action>", None),
        ("", None),
    ],
)
def test_answers(answer: str, action: str | None) -> None:
    assert read_answer(answer, "strict") == Answer(action or "", action is not None)


@given(st.text() | st.lists(st.sampled_from(["<think>", "</think>", "<action>", "</action>", "a", " "])).map("".join))
def test_any_answer_is_read_or_refused(answer: str) -> None:
    action = read_answer(answer, "strict").action
    assert not action or (action and "<" not in action and f"{action}" in answer)
    assert read_answer(f"<think>{'x' * 100}</think><action>ok</action>" + "<action" * 50, "strict").action == "ok"
