"""The figures as data URIs, with the titles and captions that their files hold."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from pipelines.errors import DataError

# The order of the page; others follow by name.
_ORDER = (
    "learning_curves", "final_bars", "kl", "step_entropy", "entropy_change", "modulation", "step_advantages", "proposition1",
)  # fmt: skip
_DC = "{http://purl.org/dc/elements/1.1/}"


@dataclass(frozen=True)
class Picture:
    """``width``: in CSS pixels, as it was drawn."""

    name: str
    title: str
    caption: str
    source: str
    width: int


def read_pictures(folder: Path) -> list[Picture]:
    """Every ``*.svg`` of the folder. Raises DataError naming a file that is none of ours."""
    files = sorted(
        folder.glob("*.svg"), key=lambda file: (_ORDER.index(file.stem) if file.stem in _ORDER else 99, file.stem)
    )
    return [_read(file) for file in files]


def _read(file: Path) -> Picture:
    try:
        root = ElementTree.fromstring(file.read_bytes())
        title, caption = (root.find(f".//{_DC}{name}").text or "" for name in ("title", "description"))  # type: ignore[union-attr]
        width = round(float(root.attrib["width"].removesuffix("pt")) * 4 / 3)
    except (ElementTree.ParseError, AttributeError, KeyError, ValueError) as error:
        raise DataError(f"{file} is no figure of a study ({error}): `dvc repro` draws it again") from None
    return Picture(file.stem, title, caption, _data_uri(file), width)


def _data_uri(svg: Path) -> str:
    """Of the PNG where that is smaller: many panels are many outlines."""
    png = svg.with_suffix(".png")
    smaller = png.is_file() and png.stat().st_size < svg.stat().st_size
    file, kind = (png, "png") if smaller else (svg, "svg+xml")
    return f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
