"""An invented world: countries, cities, rivers, people and works, and the facts that join them.

All worlds of a seed share their names, each with its kind; every fact differs from world to world. So what a model learnt
by heart of one world is of no use in another, and nothing that it read in pretraining is of use in any.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from pipelines.environments.deepsearch.config import DeepsearchGenerated
from pipelines.seeds import derive_seed

KINDS = ("country", "city", "river", "person", "work")
# Each kind's relations with the kind of their value ("" for a number), in the order in which a page states them.
RELATIONS: dict[str, dict[str, str]] = {
    "country": {"president": "person", "capital": "city", "founded": ""},
    "city": {"mayor": "person", "country": "country", "river": "river", "founded": ""},
    "river": {"mouth": "city", "country": "country", "length": ""},
    "person": {"mother": "person", "birthplace": "city", "spouse": "person", "father": "person", "born": ""},
    "work": {"author": "person", "setting": "city", "year": ""},
}
_GENERATIONS = 10
_ONSETS, _VOWELS, _CODAS = "bdfghjklmnprstvz", "aeiou", "klmnptvz"  # no ending that the stemmer takes for a suffix


@dataclass(frozen=True)
class World:
    """``kinds``: name → kind. ``facts``: name → relation → value (a name, or a number in digits)."""

    kinds: dict[str, str]
    facts: dict[str, dict[str, str]]

    def named(self, kind: str) -> list[str]:
        return [name for name, its in self.kinds.items() if its == kind]


def make_names(settings: DeepsearchGenerated) -> dict[str, str]:
    """Name → kind, the same for all worlds of the settings."""
    rng = random.Random(derive_seed(settings.seed, "names"))
    counts = (settings.countries, settings.cities, settings.rivers, settings.people, settings.works)
    names: dict[str, str] = {}
    for kind, count in zip(KINDS, counts, strict=True):
        wanted = len(names) + count
        while len(names) < wanted:
            onset, coda = rng.choice(_ONSETS), rng.choice(_CODAS)
            name = onset + rng.choice(_VOWELS) + rng.choice(_ONSETS) + rng.choice(_VOWELS) + coda
            names.setdefault(name.capitalize(), kind)
    return names


def make_world(settings: DeepsearchGenerated, world: str) -> World:
    """The facts of the world called ``world``, a function of the settings' seed and sizes."""
    names, rng = make_names(settings), random.Random(derive_seed(settings.seed, "world", world))
    made = World(names, {name: {} for name in names})
    _people(made, rng)
    capitals = rng.sample(made.named("city"), len(made.named("country")))
    people, cities, rivers, countries = (made.named(kind) for kind in ("person", "city", "river", "country"))
    home = dict(zip(capitals, countries, strict=True))
    for city in cities:
        facts = {"mayor": rng.choice(people), "country": home.get(city) or rng.choice(countries)}
        made.facts[city] = facts | {"river": rng.choice(rivers), "founded": str(rng.randint(300, 1900))}
    for country, capital in zip(countries, capitals, strict=True):
        facts = {"president": rng.choice(people), "capital": capital}
        made.facts[country] = facts | {"founded": str(rng.randint(300, 1900))}
    for river in rivers:
        mouth = rng.choice(cities)
        facts = {"mouth": mouth, "country": made.facts[mouth]["country"]}
        made.facts[river] = facts | {"length": str(rng.randint(20, 1900))}
    for work in made.named("work"):
        author = rng.choice(people)
        year = int(made.facts[author]["born"]) + rng.randint(20, 60)
        made.facts[work] = {"author": author, "setting": rng.choice(cities), "year": str(year)}
    return _stated(made, settings.facts)


def _people(world: World, rng: random.Random) -> None:
    """Generations, each with couples; whoever is not of the first has a couple of the one before for parents."""
    cities, order = world.named("city"), world.named("person")
    rng.shuffle(order)
    couples: list[tuple[str, str]] = []
    for g in range(_GENERATIONS):
        people = order[len(order) * g // _GENERATIONS : len(order) * (g + 1) // _GENERATIONS]
        parents, couples = couples, list(zip(people[0::2], people[1::2], strict=False))
        for person in people:
            facts = {"birthplace": rng.choice(cities), "born": str(900 + 30 * g + rng.randint(0, 14))}
            if parents:
                facts["mother"], facts["father"] = rng.choice(parents)
            world.facts[person] = facts
        for woman, man in couples:
            world.facts[woman]["spouse"], world.facts[man]["spouse"] = man, woman


def _stated(world: World, most: int) -> World:
    """Each page's first ``most`` facts in the relations' order (0: all)."""
    stated: dict[str, dict[str, str]] = {}
    for name, kind in world.kinds.items():
        facts = [
            (relation, world.facts[name][relation]) for relation in RELATIONS[kind] if relation in world.facts[name]
        ]
        stated[name] = dict(facts[: most or None])
    return World(world.kinds, stated)


def follow(world: World, start: str, relations: tuple[str, ...]) -> list[str] | None:
    """The entities on the way and the value at its end: ``len(relations) + 1`` different ones, or None."""
    path = [start]
    for relation in relations:
        value = world.facts.get(path[-1], {}).get(relation)
        if value is None or value in path:
            return None
        path.append(value)
    return path
