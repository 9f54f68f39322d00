"""The product catalogue: WebShop's own files, read as its ``load_products`` reads them, kept as one block of bytes.

Source: princeton-nlp/WebShop, ``web_agent_site/engine/engine.py``. Prices given as a range are drawn there from an
unseeded generator; here from one seeded by (seed, product code).
"""

from __future__ import annotations

import json
import math
import random
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.environments.webshop.json_stream import array_elements, object_items
from pipelines.errors import DataError
from pipelines.seeds import derive_seed

_LONGEST_CODE = 10
_NO_PRICE = 100.0
_REMEMBERED = 4096  # products kept unpacked
_AGAIN = "download it again, or use data=generated"


@dataclass(frozen=True, slots=True)
class Instruction:
    """What someone wants: the words, the attributes that count, the options (human: values; synthetic: made later)."""

    text: str
    attributes: tuple[str, ...]
    options: tuple[str | tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Product:
    """One product. ``price_tag`` is what pages show, ``price`` (dollars) what counts; ``options``: values by name, in the
    order of the page. ``instructions``: human ones, or the synthetic one."""

    asin: str
    category: str
    query: str
    product_category: str
    title: str
    description: str
    bullets: tuple[str, ...]
    price_tag: str
    price: float
    options: tuple[tuple[str, tuple[str, ...]], ...]
    attributes: tuple[str, ...]
    instructions: tuple[Instruction, ...]

    @property
    def indexed_text(self) -> str:
        """What the search engine sees (``search_engine/convert_product_file_format.py``)."""
        options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in self.options)
        return " ".join((self.title, self.description, *self.bullets[:1], options)).lower()


class Catalogue:
    """Products by number, packed; unpacked when asked for. ``block``: JSON lines; ``ends``: int64, where each ends."""

    def __init__(self, block: memoryview, ends: Any) -> None:
        self.block, self.ends = block, ends
        self._product = lru_cache(maxsize=_REMEMBERED)(self._unpack)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> Product:
        return self._product(number)

    def __iter__(self) -> Iterator[Product]:
        return (self._unpack(number) for number in range(len(self)))

    def _unpack(self, number: int) -> Product:
        start = int(self.ends[number - 1]) if number else 0
        asin, category, query, path, title, description, bullets, tag, price, options, attributes, instructions = (
            json.loads(bytes(self.block[start : int(self.ends[number])]))
        )
        return Product(
            asin, category, query, path, title, description, tuple(bullets), tag, price,
            tuple((name, tuple(values)) for name, values in options), tuple(attributes),
            tuple(_instruction(*parts) for parts in instructions),
        )  # fmt: skip


def _instruction(text: str, attributes: list[str], options: list[str | list[str]]) -> Instruction:
    made = tuple(option if isinstance(option, str) else (option[0], option[1]) for option in options)
    return Instruction(text, tuple(attributes), made)


def pack(product: Product) -> bytes:
    values = [getattr(product, name) for name in product.__slots__]
    values[-1] = [(i.text, i.attributes, i.options) for i in product.instructions]
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class Packer:
    """Packs products as they come."""

    def __init__(self) -> None:
        self._block, self._ends = bytearray(), array("q")

    def add(self, product: Product) -> None:
        self._block += pack(product)
        self._ends.append(len(self._block))

    def catalogue(self) -> Catalogue:
        import numpy as np

        return Catalogue(memoryview(self._block), np.array(self._ends, dtype=np.int64))


# ------------------------------------------------------------------------------------------------------------- parsing


@dataclass(frozen=True, slots=True)
class Sources:
    """Files of one catalogue. ``human``: goals written by people (else the synthetic ones of ``attributes``); ``most``
    products are read (None: all)."""

    products: Path
    attributes: Path
    human: Path | None
    most: int | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.products, self.attributes, *([self.human] if self.human else []))


def read_products(sources: Sources, seed: int) -> Iterator[Product]:
    """The products in the file's order; without a code, with one longer than ten characters, or with one that was there
    before, they are left out.

    Raises:
        DataError: a file or a record is malformed; both are named.
    """
    attributes = dict(_attributes(sources.attributes, synthetic=sources.human is None))
    human = dict(_human(sources.human)) if sources.human else {}
    seen = set()
    for number, record in enumerate(islice(array_elements(sources.products), sources.most), start=1):
        field = _Fields(sources.products, f"record {number}", record)
        asin = field.text("asin")
        if asin == "nan" or len(asin) > _LONGEST_CODE or asin in seen:
            continue
        seen.add(asin)
        own, synthetic = attributes.get(asin, (("DUMMY_ATTR",), ()))
        yield _product(field.at(f"record {number} ({asin})"), asin, own, human.get(asin, synthetic), seed)


def _product(
    field: _Fields, asin: str, attributes: tuple[str, ...], instructions: tuple[Instruction, ...], seed: int
) -> Product:
    prices, tag = _pricing(field)
    price = prices[0] if len(prices) == 1 else random.Random(derive_seed(seed, "price", asin)).uniform(*prices)
    bullets = field.value("small_description")
    return Product(
        asin=asin,
        category=field.text("category"),
        query=field.text("query").lower().strip(),
        product_category=field.text("product_category"),
        title=field.text("name"),
        description=field.text("full_description"),
        bullets=field.texts("small_description") if isinstance(bullets, list) else (field.text("small_description"),),
        price_tag=tag,
        price=price,
        options=_options(field),
        attributes=attributes,
        instructions=instructions,
    )


def _pricing(field: _Fields) -> tuple[list[float], str]:
    """The price, or the two ends of its range, and how pages show it."""
    said = field.value("pricing", default=None)
    if not said:
        return [_NO_PRICE], "$100.0"
    try:
        prices = [float(Decimal(re.sub(r"[^\d.]", "", part))) for part in str(said).split("$")[1:3]]
    except InvalidOperation:
        prices = []
    if not prices or not all(map(math.isfinite, prices)):
        raise field.wrong("pricing", said, "a price such as $9.99")
    return prices, f"${prices[0]}" if len(prices) == 1 else f"${prices[0]} to ${prices[1]}"


def _options(field: _Fields) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Names in lower case; values in lower case, stripped, with " | " for "/"."""
    options: dict[str, tuple[str, ...]] = {}
    offered = field.value("customization_options")
    if offered and not isinstance(offered, dict):
        raise field.wrong("customization_options", offered, "an object")
    for name, contents in (offered or {}).items():
        if contents is None:
            continue
        try:
            options[name.lower()] = tuple(c["value"].strip().replace("/", " | ").lower() for c in contents)
        except (TypeError, KeyError, AttributeError):
            raise field.wrong("customization_options", contents, 'a list of {"value": …}') from None
    return tuple(options.items())


def _attributes(
    path: Path, *, synthetic: bool
) -> Iterator[tuple[str, tuple[tuple[str, ...], tuple[Instruction, ...]]]]:
    """By product code: its attributes and, where there is one, its synthetic instruction."""
    same: dict[str, str] = {}  # one copy of each attribute: there are few, and a million products
    for asin, record in object_items(path):
        field = _Fields(path, f"record {asin}", record)
        own = field.texts("attributes") if "attributes" in field.record else ("DUMMY_ATTR",)
        wanted: tuple[Instruction, ...] = ()
        if synthetic and field.value("instruction", default=None) is not None:
            counted = field.texts("instruction_attributes")
            if not counted:
                raise field.wrong("instruction_attributes", [], "at least one attribute")
            wanted = (Instruction(field.text("instruction"), counted),)
        yield asin, (tuple(same.setdefault(name, name) for name in own), wanted)


def _human(path: Path) -> Iterator[tuple[str, tuple[Instruction, ...]]]:
    """By product code: what people asked for; without attributes it is no goal and left out."""
    for asin, records in object_items(path):
        if not isinstance(records, list):
            raise DataError(f"{path}: record {asin} is no list: {_AGAIN}")
        fields = [_Fields(path, f"record {asin}", record) for record in records]
        wanted = [(f.text("instruction"), f.texts("instruction_attributes"), _wanted_options(f)) for f in fields]
        yield asin, tuple(Instruction(text, own, options) for text, own, options in wanted if own)


def _wanted_options(field: _Fields) -> tuple[str | tuple[str, str], ...]:
    options = field.value("instruction_options")
    if isinstance(options, dict) and all(isinstance(value, str) for value in options.values()):
        return tuple(options.items())
    return field.texts("instruction_options")


class _Fields:
    """A record whose fields are checked when they are read."""

    def __init__(self, path: Path, place: str, record: Any) -> None:
        self._path, self._place = path, place
        if not isinstance(record, dict):
            raise DataError(f"{path}: {place} is no object: {_AGAIN}")
        self.record: dict[str, Any] = record

    def at(self, place: str) -> _Fields:
        """The same record by another name."""
        return _Fields(self._path, place, self.record)

    def value(self, key: str, **default: Any) -> Any:
        if key in self.record:
            return self.record[key]
        if default:
            return default["default"]
        raise DataError(f"{self._path}: {self._place} lacks {key}: {_AGAIN}")

    def text(self, key: str) -> str:
        value = self.value(key)
        if not isinstance(value, str):
            raise self.wrong(key, value, "text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.value(key)
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise self.wrong(key, value, "a list of texts")
        return tuple(value)

    def wrong(self, key: str, value: Any, wanted: str) -> DataError:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:60] + "…"
        return DataError(f"{self._path}: {self._place}: {key} is {shown}, not {wanted}: {_AGAIN}")
