"""A game file is data: whatever it says, no code runs, and what cannot be played is one line with the file's name."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from textworld.generator.game import EntityInfo

from pipelines.environments.alfworld.benchmark import AlfworldBenchmark
from pipelines.environments.alfworld.environment import AlfworldEnvironment
from pipelines.environments.alfworld.expressions import parsed, value
from pipelines.errors import DataError

Hostile = Callable[[str, str, str], AlfworldEnvironment]
KNOWN = {ast.Name, ast.Load, ast.Attribute, ast.Constant, ast.BinOp, ast.Add, ast.BoolOp, ast.Or}


@pytest.fixture
def hostile(alfworld: AlfworldBenchmark, games: Path, tmp_path: Path) -> Hostile:
    """A genuine game of which one text is replaced, behind an environment whose panel knows it so."""
    task = alfworld.panels(games)["train"].tasks[0]
    genuine = json.loads((games / task.source).read_text())

    def make(part: str, old: str, new: str) -> AlfworldEnvironment:
        assert old in genuine[part]
        content = json.dumps(genuine | {part: genuine[part].replace(old, new)}).encode()
        (tmp_path / "game.tw-pddl").write_bytes(content)
        played = dataclasses.replace(task, source="game.tw-pddl", sha256=hashlib.sha256(content).hexdigest())
        return AlfworldEnvironment(played, tmp_path, None)

    return make


def play(environment: AlfworldEnvironment) -> None:
    environment.reset()
    for command in ("look", "inventory", "help"):
        environment.step(command)


def refusal(environment: AlfworldEnvironment) -> str:
    with pytest.raises(DataError) as caught:
        play(environment)
    environment.close()
    assert "game.tw-pddl" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "variable"),
    [
        ("{r.name or r.id}", "r"),  # of the first sentence
        ("{r.name | receptacleatlocation", "r"),  # of the first commands
        ("{co.name}", "co"),  # of a sentence that no command here comes to
    ],
)
def test_no_code_of_a_game_runs(hostile: Hostile, tmp_path: Path, old: str, variable: str) -> None:
    mark = tmp_path / "code_ran"
    attack = f"{variable}.__init__.__globals__.get('__builtins__').get('open')('{mark}', 'w')"
    said = refusal(hostile("grammar", old, re.sub(r"{[^ }|]+( or [^ }|]+)?", f"{{{attack}", old)))
    assert "__globals__" in said
    assert not mark.exists()


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("grammar", "#look.feedback#", "#intro#"),
        ("grammar", "#task#", "#more#"),
        ("grammar", "#task#", "{stranger.name}"),
        ("grammar", "You are not carrying anything.", "{stranger.name}"),
        ("grammar", "#task#", "#nobody#"),
        ("grammar", '"task": [', '"task": ['[:-1]),
        ("grammar", "action look", "acton look"),
        ("pddl_domain", "(:action", "((:action"),
        ("pddl_domain", "(:action", "(:acton"),
        ("pddl_problem", "(:init", "(:init (unheard of)"),
        ("pddl_domain", "(openable ?r)", "(openable ?r ?o)"),
        pytest.param("grammar", "Your task is to: ", "Your task is to: " + "put " * 30_000, id="a long goal"),
    ],
)
def test_a_game_that_cannot_be_played_is_one_line(hostile: Hostile, part: str, old: str, new: str) -> None:
    """``#more#``: thirty rules, each of which says the next one twice."""
    if new == "#more#":
        doubled = {f"more{i}": [{"rhs": f"#more{i + 1}##more{i + 1}#"}] for i in range(30)} | {"more30": [{"rhs": "x"}]}
        rules = json.dumps(doubled)[1:-1]
        old, new = '"task": [', f'"more": [{{"rhs": "#more0#"}}], {rules}, "task": [{{"rhs": "#more#"}},'
    refusal(hostile(part, old, new))


SEVEN = " & ".join(f"pickupable(o{i}:object)" for i in range(7))  # of ten
# What the inventory says, and rules beside it.
AT_A_STEP: dict[str, tuple[str, dict[str, Any]]] = {
    "nobody's rule": ("#nobody#", {}),
    "a rule that says itself": ("#again#", {"again": [{"rhs": "a#again#"}]}),
    "no condition": ("#asked#", {"asked": [{"condition": "((", "rhs": "x"}]}),
    "a long text": (
        "#more0#",
        {f"more{i}": [{"rhs": f"#more{i + 1}##more{i + 1}#"}] for i in range(10)}
        | {"more10": [{"rhs": f"{{'{'x' * 190}'}}"}]},
    ),
    "many assignments of which none is whole": (
        "#asked#",
        {"asked": [{"condition": f"{SEVEN} & holdsany(z:agent)", "rhs": "x"}, {"rhs": "y"}]},
    ),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", AT_A_STEP)
def test_a_game_that_fails_at_a_step_is_one_line(hostile: Hostile, kind: str) -> None:
    said, beside = AT_A_STEP[kind]
    rules = json.dumps(beside | {"inventory.feedback": [{"rhs": said}]})[1:-2]
    environment = hostile("grammar", '"inventory.feedback": [', f"{rules}, ")
    environment.reset()
    with pytest.raises(DataError) as caught:
        environment.step("inventory")
    environment.close()
    assert "game.tw-pddl" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


# --------------------------------------------------------------------------------------------------------- expressions


def entity(name: str | None) -> EntityInfo:
    info = EntityInfo("desk_bar_1", "receptacle")
    info.name, info.indefinite = name, "a"
    return info


@pytest.mark.parametrize("name", ["desk 1", None])
@pytest.mark.parametrize(
    "expression",
    ["r.name", "r.name ", " r.name or r.id", "r.type or r.name or r.id", "r.indefinite + ' ' + r.id", "'in ' + \"it\"", "r.noun",
     "r.noun or r.adj", "(r.name or r.id) + ' it'"],
)  # fmt: skip
def test_an_expression_says_what_python_says(expression: str, name: str | None) -> None:
    said = str(eval(expression.strip(), {"__builtins__": {}}, {"r": entity(name)}))
    assert value(expression, {"r": entity(name)}) == said


def test_a_variable_alone_is_its_name() -> None:
    assert value("r", {"r": entity("desk 1")}) == "desk 1"


@pytest.mark.parametrize(
    "expression",
    ["r.__class__", "r.name.upper()", "r.name.format", "r.synonyms", "open", "r.name * 9", "9", "f'{r}'", "lambda: r", "r if r else r",
     "r.name and r.id", "(r := r)", "b'x'", "", "r.", "(" * 500, "r.name + " * 40 + "r.name", "\x00"],
)  # fmt: skip
def test_what_the_genuine_games_do_not_say_is_refused(expression: str) -> None:
    with pytest.raises(DataError) as caught:
        value(expression, {"r": entity("desk 1")})
    assert repr(expression[:50])[1:-1] in str(caught.value)


@given(st.text(alphabet="r.nameid+o '\"()_=-*9~,:@\\\n\x00", max_size=60) | st.text(max_size=60))
@example("-" * 199 + "r")
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        tree = parsed(text)
    except DataError:
        return
    assert {type(node) for node in ast.walk(tree)} <= KNOWN
