"""The figures as data URIs, with the titles and captions that their files hold."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from pipelines.errors import DataError
from pipelines.reporting.figures import FIGURES
from pipelines.reporting.names import rank

_DC = "{http://purl.org/dc/elements/1.1/}"


@dataclass(frozen=True)
class Picture:
    """``source``: a data URI; ``width``, ``height``: in CSS pixels, as the figure was drawn."""

    name: str
    title: str
    caption: str
    source: str
    width: int
    height: int


def read_pictures(folder: Path) -> list[Picture]:
    """Every ``*.svg`` of the folder, in the order of ``FIGURES``. Raises DataError naming a file that is no figure of a study."""
    files = sorted(folder.glob("*.svg"), key=lambda file: rank(file.stem, FIGURES))
    return [_read(file) for file in files]


def _read(file: Path) -> Picture:
    try:
        root = ElementTree.fromstring(file.read_bytes())
        title, caption = (root.find(f".//{_DC}{name}").text or "" for name in ("title", "description"))  # type: ignore[union-attr]
        width, height = (round(float(root.attrib[name].removesuffix("pt")) * 4 / 3) for name in ("width", "height"))
    except (ElementTree.ParseError, AttributeError, KeyError, ValueError) as error:
        raise DataError(f"{file} is no figure of a study ({error}): `dvc repro` draws it again") from None
    return Picture(file.stem, title, caption, _data_uri(file), width, height)


def _data_uri(svg: Path) -> str:
    """The SVG, or its PNG where that is smaller: a figure of many panels has many outlines."""
    png = svg.with_suffix(".png")
    smaller = png.is_file() and png.stat().st_size < svg.stat().st_size
    file, kind = (png, "png") if smaller else (svg, "svg+xml")
    return f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
