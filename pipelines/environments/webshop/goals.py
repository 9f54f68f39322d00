"""Goals: what the agent is told to buy. Source: princeton-nlp/WebShop, ``web_agent_site/engine/goal.py``.

Price caps come there from an unseeded generator; here from one seeded by (seed, product code, instruction). The
original's weights are left out: they only bear on its own random draw of a session, which no one uses in training.
"""

from __future__ import annotations

import math
import random
from array import array
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.environments.webshop.catalogue import Catalogue, Product
from pipelines.errors import DataError
from pipelines.seeds import derive_seed

_CAPS = [10.0 * i for i in range(1, 100)]
_NO_CAP = 1_000_000.0
_SHUFFLE_SEED = 233  # the original's
_MOST_GOALS = 100_000_000  # of a catalogue: their order is held in memory
Pairs = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Goal:
    """One task. ``options``: wanted values (human), or pairs of name and value (synthetic). ``price_cap``: dollars."""

    asin: str
    category: str
    query: str
    name: str
    product_category: str
    instruction: str
    attributes: tuple[str, ...]
    options: tuple[str | tuple[str, str], ...]
    price_cap: float


def goal_order(catalogue: Catalogue, *, human: bool) -> Pairs:
    """int32[goals, 2]: (product, which of its goals), shuffled as the original shuffles its list.

    Raises:
        DataError: there are more goals than can be held.
    """
    counts = [len(p.instructions) if human else _combinations(p) for p in catalogue]
    if sum(counts) > _MOST_GOALS:
        largest = max(range(len(counts)), key=counts.__getitem__)
        raise DataError(
            f"the products' options have {sum(counts)} combinations, {counts[largest]} of them those of product "
            f"{catalogue[largest].asin}, and each is a goal: at most {_MOST_GOALS} can be held; set data.goals=human, or "
            "lower data.products"
        )
    sizes = np.array(counts, dtype=np.int32)
    product = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    which = np.arange(len(product), dtype=np.int32) - np.repeat(np.cumsum(sizes, dtype=np.int32) - sizes, sizes)
    shuffled = array("i", range(len(product)))  # as a list is shuffled, in a tenth of its memory
    random.Random(_SHUFFLE_SEED).shuffle(shuffled)
    return np.stack([product, which], axis=1)[np.frombuffer(shuffled, dtype=np.intc)]


def make_goal(product: Product, which: int, *, human: bool, seed: int) -> Goal:
    """The ``which``-th goal of a product: one per human instruction, or one per combination of its options."""
    cap = _cap(product, which if human else 0, seed)
    said = "" if cap == _NO_CAP else f", and price lower than {cap:.2f} dollars"
    instruction = product.instructions[which if human else 0]
    options: tuple[str | tuple[str, str], ...] = instruction.options
    if human:
        text = instruction.text.strip(".") + said
    else:
        options = chosen = _combination(product, which)
        listed = ", and ".join(f"{name}: {value}" for name, value in chosen)
        text = instruction.text + (f" with {listed}" if listed else "") + said
    return Goal(
        product.asin, product.category, product.query, product.title, product.product_category, text,
        instruction.attributes, options, cap,
    )  # fmt: skip


def _combinations(product: Product) -> int:
    return math.prod(len(values) for _, values in product.options) if product.instructions else 0


def _combination(product: Product, which: int) -> tuple[tuple[str, str], ...]:
    """One value per option, the options sorted by name, the last one's values changing fastest."""
    chosen: list[tuple[str, str]] = []
    for name, values in sorted(product.options, reverse=True):
        which, place = divmod(which, len(values))
        chosen.append((name, values[place]))
    return tuple(reversed(chosen))


def _cap(product: Product, which: int, seed: int) -> float:
    """The larger of two of the next four multiples of ten above the price, below 1,000."""
    above = [cap for cap in _CAPS if cap > product.price][:4]
    if len(above) < 2:
        return _NO_CAP
    return max(random.Random(derive_seed(seed, "cap", product.asin, which)).sample(above, 2))
