"""Write invented worlds in the layout of real data: ``corpora/<world>.jsonl`` and ``<type>/{train,test}.jsonl``.

A question's metadata names its corpus and says how an oracle would answer: ``chains`` of relations from an entity that the
question names, and, for a comparison, which of their ends to ``pick``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipelines.environments.base import Tick
from pipelines.environments.deepsearch.config import DeepsearchGenerated, QuestionType
from pipelines.environments.deepsearch.pages import write_page
from pipelines.environments.deepsearch.worlds import KINDS, RELATIONS, World, follow, make_world
from pipelines.errors import ConfigError
from pipelines.seeds import derive_seed

HELD_OUT = "held-out"
_TRIES = 200  # drafts per question before the world counts as too small
_HOPS: dict[QuestionType, int] = {"one_hop": 1, "two_hop": 2, "three_hop": 3, "four_hop": 4}
_WORDS = {"born": "year of birth", "founded": "founding year", "year": "year of publication"}
# relation, kind of what is compared, question, which end is the answer's
_COMPARED = (
    ("born", "person", "Who was born earlier, {} or {}?", "least"),
    ("founded", "city", "Which city was founded earlier, {} or {}?", "least"),
    ("length", "river", "Which river is longer, {} or {}?", "most"),
    ("year", "work", "Which work was published later, {} or {}?", "most"),
)
_BRIDGED = (
    ("author", "work", "Which work has the author who was born earlier, {} or {}?", "least"),
    ("mayor", "city", "Which city has the mayor who was born later, {} or {}?", "most"),
    ("president", "country", "Which country has the president who was born earlier, {} or {}?", "least"),
)
# What no page says in these words: the rule has to be known.
_INFERRED = (
    ("Who is the maternal grandmother of {}?", ("mother", "mother")),
    ("Who is the maternal grandfather of {}?", ("mother", "father")),
    ("Who is the paternal grandmother of {}?", ("father", "mother")),
    ("Who is the paternal grandfather of {}?", ("father", "father")),
    ("Who is the mother-in-law of {}?", ("spouse", "mother")),
    ("Who is the father-in-law of {}?", ("spouse", "father")),
    ("Who is the head of state of the native country of {}?", ("birthplace", "country", "president")),
)

Row = dict[str, Any]


def generate(settings: DeepsearchGenerated, folder: Path, tick: Tick) -> None:
    """Write all worlds and questions; deterministic bytes.

    Raises:
        ConfigError: the worlds are too small for so many questions, or their pages state too few facts for a type.
    """
    (folder / "corpora").mkdir(parents=True, exist_ok=True)
    names = [f"world-{i}" for i in range(settings.train_worlds)]
    worlds = {name: make_world(settings, name) for name in (*names, HELD_OUT)}
    for name, world in worlds.items():
        _write(folder / "corpora" / f"{name}.jsonl", _documents(world, settings))
    tick(0.5)
    asked: set[str] = set()  # of the held-out world, which may ask the training questions too
    for split, types, total, askers in (
        ("train", settings.in_domain, settings.train, names or [HELD_OUT]),
        ("test", (*settings.in_domain, *settings.out_of_domain), settings.test, [HELD_OUT]),
    ):
        for i, kind in enumerate(types):
            count = len(range(i, total, len(types)))
            rows = _questions(settings, kind, split, count, {name: worlds[name] for name in askers}, asked)
            (folder / kind).mkdir(exist_ok=True)
            _write(folder / kind / f"{split}.jsonl", rows)
    tick(1.0)


def _documents(world: World, settings: DeepsearchGenerated) -> Iterable[Row]:
    for name, kind in world.kinds.items():
        yield {"id": name.lower(), "contents": write_page(name, kind, world.facts[name], settings.pages)}


def _write(path: Path, rows: Iterable[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def _questions(
    settings: DeepsearchGenerated, kind: QuestionType, split: str, count: int, worlds: dict[str, World], asked: set[str]
) -> list[Row]:
    """``count`` different questions of a type; the worlds take turns."""
    rng = random.Random(derive_seed(settings.seed, "questions", split, kind))
    rows: list[Row] = []
    while len(rows) < count:
        name = list(worlds)[len(rows) % len(worlds)]
        for _ in range(_TRIES):
            draft = _draft(kind, worlds[name], rng)
            if draft is not None and f"{name} {draft['question']}" not in asked:
                break
        else:
            raise ConfigError(
                f"a world has fewer than {count} questions of type {kind}: lower data.{split}, raise data.people and "
                "data.works, set data.facts=0, or leave the type out of data.in_domain and data.out_of_domain"
            )
        asked.add(f"{name} {draft['question']}")
        metadata = {"type": kind, "corpus": f"corpora/{name}.jsonl", **draft.pop("metadata")}
        rows.append({"id": f"{kind}-{split}-{len(rows):04d}", **draft, "metadata": metadata})
    return rows


def _draft(kind: QuestionType, world: World, rng: random.Random) -> Row | None:
    if kind in _HOPS:
        return _chain(world, _HOPS[kind], rng)
    makers: dict[str, Callable[[World, random.Random], Row | None]] = {
        "comparison": _comparison, "bridge_comparison": _bridge_comparison, "inference": _inference,
    }  # fmt: skip
    return makers[kind](world, rng)


def _chain(world: World, hops: int, rng: random.Random) -> Row | None:
    """A random walk: "Who is the mother of the author of Zulet?"."""
    start = rng.choice(world.named(rng.choice(KINDS)))
    relations, kind = list[str](), world.kinds[start]
    for _ in range(hops):
        known = list(RELATIONS[kind]) if kind else []
        if not known:
            return None
        relations.append(rng.choice(known))
        kind = RELATIONS[kind][relations[-1]]
    path = follow(world, start, tuple(relations))
    if path is None:
        return None
    words = " of ".join(f"the {_WORDS.get(relation, relation)}" for relation in reversed(relations))
    question = f"{'Who' if kind == 'person' else 'What'} is {words} of {start}?"
    return _row(question, path[-1], [[start, *relations]])


def _inference(world: World, rng: random.Random) -> Row | None:
    question, relations = rng.choice(_INFERRED)
    start = rng.choice(world.named("person"))
    path = follow(world, start, relations)
    return None if path is None else _row(question.format(start), path[-1], [[start, *relations]])


def _comparison(world: World, rng: random.Random) -> Row | None:
    relation, kind, question, pick = rng.choice(_COMPARED)
    return _compared(world, kind, (relation,), question, pick, rng)


def _bridge_comparison(world: World, rng: random.Random) -> Row | None:
    relation, kind, question, pick = rng.choice(_BRIDGED)
    return _compared(world, kind, (relation, "born"), question, pick, rng)


def _compared(
    world: World, kind: str, relations: tuple[str, ...], question: str, pick: str, rng: random.Random
) -> Row | None:
    pair = rng.sample(world.named(kind), 2)
    paths = [follow(world, name, relations) for name in pair]
    if paths[0] is None or paths[1] is None or paths[0][-1] == paths[1][-1]:
        return None
    answer = picked(pair, [paths[0][-1], paths[1][-1]], pick)
    return _row(question.format(*pair), answer, [[name, *relations] for name in pair], pick)


def picked(names: list[str], values: list[str], pick: str) -> str:
    """The name whose number is ``least`` or ``most``."""
    return (min if pick == "least" else max)(zip(names, values, strict=True), key=lambda pair: int(pair[1]))[0]


def _row(question: str, answer: str, chains: list[list[str]], pick: str | None = None) -> Row:
    metadata = {"hops": sum(len(chain) - 1 for chain in chains), "chains": chains, "pick": pick}
    return {"question": question, "golden_answers": [answer], "metadata": metadata}
