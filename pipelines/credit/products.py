"""The file of gradients' products beside an oracle's table: ``products.npz``."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from pipelines.errors import DataError
from pipelines.files import sha256_file
from pipelines.schemas import ORACLE

FILE = "products.npz"
Products = npt.NDArray[np.float64]


def write_products(folder: Path, products: Products) -> None:
    """[N, N], of the rows of the oracle's table in the folder, whose SHA-256 goes with them. The same numbers give the same bytes."""
    with (folder / FILE).open("wb") as file:
        np.savez(file, products=products, of=np.array(sha256_file(folder / ORACLE.file)))


def read_products(folder: Path) -> Products | None:
    """None: they were not measured. Raises DataError: they are of another table than the folder's, or cannot be read."""
    try:
        with np.load(folder / FILE) as found:
            products, of = found["products"].astype(np.float64), str(found["of"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(
            f"{folder / FILE} cannot be read ({error}): python -m flows.credit gradients writes it again"
        ) from None
    if of != sha256_file(folder / ORACLE.file):
        raise DataError(
            f"{folder / FILE} is of another oracle than {ORACLE.file}: python -m flows.credit gradients measures it again"
        )
    found_products: Products = products
    return found_products
