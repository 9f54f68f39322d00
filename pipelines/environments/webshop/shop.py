"""A shop ready to play in: catalogue, index and goals, built once per sources and settings and kept on disk.

The kept form is mapped into memory: any number of processes share one copy of it.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.caches import damage, sealed_files
from pipelines.environments.webshop.catalogue import Catalogue, Packer, Sources, read_products
from pipelines.environments.webshop.goals import Goal, Pairs, goal_order, make_goal
from pipelines.environments.webshop.search import WORDS, Index, build_index
from pipelines.environments.webshop.site import SHOWN
from pipelines.errors import DataError
from pipelines.files import damaged_file, remembered_sha256, replaced_folder, warn_damaged, write_checksums

FORMAT = 1  # raise it when the kept files change, or the way in which they are made from the sources
_ARRAYS = ("starts", "documents", "weights", "ties")
_KEPT = (*_ARRAYS, "ends", "order")
_FILES = (*(f"{name}.npy" for name in _KEPT), "products.jsonl", "vocabulary.json")
_OPEN_AT_ONCE = 4
_PATIENCE_S = 60.0  # with another process that keeps the same shop
_open: dict[str, Shop] = {}  # what this process has open, by key; the one used last stands at the end


@dataclass(frozen=True, eq=False)
class Shop:
    """``key``: the hash of the sources and of how they were read. ``order``: int32[goals, 2] (``goals.goal_order``)."""

    key: str
    catalogue: Catalogue
    index: Index
    order: Pairs
    human: bool
    seed: int
    _found: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def search(self, query: str) -> tuple[int, ...]:
        """The numbers of at most 50 products, best first. Answers are remembered, because groups of episodes ask the same
        and every page of results asks again."""
        found = self._found.get(query)
        if found is None:
            if len(self._found) >= 4096:
                self._found.clear()
            found = self._found[query] = self.index.search(query, SHOWN)
        return found

    def __len__(self) -> int:
        return len(self.order)

    def goal(self, number: int) -> Goal:
        product, which = self.order[number].tolist()
        return make_goal(self.catalogue[product], which, human=self.human, seed=self.seed)


def open_shop(sources: Sources, seed: int, cache: Path, key: str | None = None) -> Shop:
    """The shop of the sources: the one that this process has open, the one in the cache, or a new one, which is kept if the
    disk allows it.

    ``key`` says which shop it must be; then the sources are read only if nobody has it.

    Raises:
        DataError: a source is missing or malformed, or the sources are not those of ``key``.
    """
    wanted = key or shop_key(sources, seed, cache / "sources")
    kept = cache / f"{wanted}-{WORDS}"
    shop = _open.pop(wanted, None) or _read(kept, wanted, sources.human is not None, seed)
    if shop is None:
        if key is not None and shop_key(sources, seed, cache / "sources") != key:
            raise DataError(
                f"{sources.products.parent} has other files than the panel was made from: start the run anew"
            )
        shop = _build(sources, seed, wanted)
        _keep(shop, kept)
    _open[wanted] = shop
    while len(_open) > _OPEN_AT_ONCE:
        del _open[next(iter(_open))]
    return shop


def cached(cache: Path) -> Iterator[tuple[Path, str]]:
    """Shops and remembered checksums: each entry, and what is wrong with it, "" where nothing is."""
    for folder in sorted(path for path in cache.glob(f"[!.]*-{WORDS}") if path.is_dir()):
        yield folder, damage(folder, _check)
    yield from sealed_files(cache / "sources")


def close_shops() -> None:
    """Forget what this process has open."""
    _open.clear()


def shop_key(sources: Sources, seed: int, memo: Path) -> str:
    """A hash of the sources' bytes and of all that bears on what is made of them. The folder ``memo`` remembers the hashes
    of the files."""
    parts = [f"format {FORMAT}", f"most {sources.most}", f"seed {seed}", f"human {sources.human is not None}"]
    for path in sources.files:
        try:
            parts.append(remembered_sha256(path, memo))
        except OSError as error:
            why = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise DataError(f"{path} {why}: download WebShop's data, or use data=generated") from None
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _build(sources: Sources, seed: int, key: str) -> Shop:
    packer, names = Packer(), list[str]()

    def texts() -> Iterator[str]:
        for product in read_products(sources, seed):
            packer.add(product)
            names.append(product.asin)
            yield product.indexed_text

    index = build_index(texts(), names)
    if not names:
        raise DataError(f"{sources.products} holds no product: download it again, or use data=generated")
    catalogue, human = packer.catalogue(), sources.human is not None
    try:
        order = goal_order(catalogue, human=human)
    except DataError as error:
        raise DataError(f"{sources.products}: {error}") from None
    return Shop(key, catalogue, index, order, human, seed)


# ------------------------------------------------------------------------------------------------------------ on disk


def _read(folder: Path, key: str, human: bool, seed: int) -> Shop | None:
    """The kept shop, or None where there is none that is whole; then it is built again."""
    if not folder.is_dir():
        return None
    try:
        _check(folder)
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _KEPT}
        terms = json.loads((folder / "vocabulary.json").read_text("utf-8"))
        with (folder / "products.jsonl").open("rb") as file:
            block = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):
        warn_damaged(folder, "the shop is built again")
        return None
    index = Index({term: i for i, term in enumerate(terms)}, *(arrays[name] for name in _ARRAYS))
    return Shop(key, Catalogue(block, arrays["ends"]), index, arrays["order"], human, seed)


def _check(folder: Path) -> None:
    """Raises OSError, ValueError: a file is not as it was written."""
    lost = (name for name in _FILES if not (folder / name).exists())
    if (name := damaged_file(folder) or next(lost, None)) is not None:
        raise ValueError(f"{name} is not as it was written")


def _keep(shop: Shop, folder: Path) -> None:
    """Write the folder whole or not at all. A full or read-only disk costs the next process a build and nothing more. Of several
    processes that built it at the same time one writes it."""
    from filelock import FileLock

    with suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock"), timeout=_PATIENCE_S):  # a Timeout is an OSError
            if not folder.is_dir() or damage(folder, _check):  # else another was quicker
                _write(shop, folder)


def _write(shop: Shop, folder: Path) -> None:
    with replaced_folder(folder) as draft:
        for name in _ARRAYS:
            np.save(draft / f"{name}.npy", getattr(shop.index, name))
        np.save(draft / "ends.npy", shop.catalogue.ends)
        np.save(draft / "order.npy", shop.order)
        (draft / "products.jsonl").write_bytes(shop.catalogue.block)
        (draft / "vocabulary.json").write_text(json.dumps(list(shop.index.vocabulary)), "utf-8")
        write_checksums(draft)
