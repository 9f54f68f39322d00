"""A generated catalogue in the original's files and schema: as many products as wanted, the same bytes on every machine.

Products come in families of three: same kind, same two attributes in the title, another brand, other prices, other
options. A search finds the family; which of the three it must be, the price cap and the options decide.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from pipelines.environments.base import Tick
from pipelines.environments.webshop.config import WebshopGenerated
from pipelines.environments.webshop.words import ATTRIBUTES, OPTIONS, Kind, kinds
from pipelines.seeds import derive_seed

PRODUCTS, INSTRUCTIONS, HUMAN = "items_shuffle_1000.json", "items_ins_v2_1000.json", "items_human_ins.json"
_FAMILY = 3
_PRICES = (5, 15, 25, 35, 45, 55, 65, 75, 85)
_STEP = 3  # places in _PRICES between the members of a family: the dearest is above every cap of the cheapest
_OFFERED = {"color": 4, "bed size": 3, "flavor": 3, "scent": 3}  # values of an option that one product has; else: two
_SYLLABLES = ("ba", "de", "fi", "go", "lu", "ma", "ne", "ri", "so", "ta", "ve", "zo", "kel", "nor", "mir", "dan")


def generate_catalogue(settings: WebshopGenerated, folder: Path, *, tick: Tick) -> None:
    """Write the three files below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    products, instructions, human = [], {}, {}
    for done, (product, instruction, said) in enumerate(_products(settings), start=1):
        products.append(product)
        instructions[product["asin"]] = instruction
        human[product["asin"]] = said
        if done % 256 == 0 or done == settings.products:
            tick(done / settings.products)
    random.Random(derive_seed(settings.seed, "catalogue order")).shuffle(products)
    for name, content in ((PRODUCTS, products), (INSTRUCTIONS, instructions), (HUMAN, human)):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, sort_keys=True), "utf-8")


Made = tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]


def _products(settings: WebshopGenerated) -> Iterator[Made]:
    """(record, its synthetic instruction, its human ones): families of the kinds in turn."""
    rng = random.Random(derive_seed(settings.seed, "catalogue"))
    all_kinds = kinds()
    pairs = {kind.name: _shuffled_pairs(kind, rng) for kind in all_kinds}
    codes = _codes(rng)
    for number in range(settings.products):
        family, member = divmod(number, _FAMILY)
        kind = all_kinds[family % len(all_kinds)]
        choices = pairs[kind.name]
        wanted = choices[family // len(all_kinds) % len(choices)]
        if member == 0:
            first, start = rng.randrange(12), rng.randrange(_STEP)
            order = rng.sample(range(_FAMILY), _FAMILY)
        price = _PRICES[start + _STEP * order[member]]
        yield _product(kind, wanted, price, first + 5 * member, next(codes), rng)


def _shuffled_pairs(kind: Kind, rng: random.Random) -> list[tuple[str, str]]:
    pairs = list(combinations(ATTRIBUTES[kind.category], 2))
    rng.shuffle(pairs)
    return pairs


def _codes(rng: random.Random) -> Iterator[str]:
    """Product codes of ten letters: no digits, so that a model made here reads one as one word."""
    seen: set[str] = set()
    while True:
        code = "B" + "".join(rng.choices(string.ascii_uppercase, k=9))
        if code not in seen:
            seen.add(code)
            yield code


def _product(kind: Kind, wanted: tuple[str, str], price: int, shift: int, asin: str, rng: random.Random) -> Made:
    brand = "".join(rng.choices(_SYLLABLES, k=2)).title()
    others = rng.sample([name for name in ATTRIBUTES[kind.category] if name not in wanted], 2)
    title = f"{brand} {' '.join(wanted)} {kind.name}".title()
    options = {name: [{"value": v, "image": None} for v in _values(name, shift)] for name in kind.options}
    record = {
        "asin": asin, "name": title, "category": kind.category, "query": kind.name,
        "product_category": " › ".join((kind.category.title(), *kind.path, kind.name.title())),
        "pricing": f"${price}.00", "customization_options": options, "images": [""],
        "small_description": [
            f"{' and '.join(wanted)}: the {kind.name} that {brand} is known for.",
            f"Also {' and '.join(others)}.",
            f"Every {kind.name} is checked by hand before it leaves our house.",
        ],
        "full_description": (
            f"{brand} makes this {kind.name} for people who look twice. It is {wanted[0]}, it is {wanted[1]}, and you can "
            f"send it back within a month. Our {kind.name} comes in the choices listed beside its picture."
        ),
    }  # fmt: skip
    instruction = {
        "attributes": [*wanted, *others],
        "instruction": f"Find me {', '.join(wanted)} {kind.name}",
        "instruction_attributes": list(wanted),
    }
    chosen = [str(rng.choice(values)["value"]) for values in options.values()]
    human = {
        "asin": asin, "attributes": [*wanted, *others], "instruction_attributes": list(wanted),
        "instruction": f"i am looking for {kind.name} that is {' and '.join(wanted)}, and i want it {', '.join(chosen)}.",
        "instruction_options": chosen,
    }  # fmt: skip
    return record, instruction, [human]


def _values(name: str, shift: int) -> list[str]:
    """The values of one option that a product offers: a run of the circle of all, begun elsewhere by each of a family."""
    values = OPTIONS[name]
    count = min(_OFFERED.get(name, 2), len(values))
    return [values[(shift + i) % len(values)] for i in range(count)]
