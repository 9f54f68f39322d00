"""The reference of all settings: complete, current, and made of what the code says."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from flows.configure.compose import composer
from flows.reference.leaves import Leaf, about, leaves
from flows.reference.page import _part, page
from flows.reference.parts import Part
from flows.reference.values import values
from pipelines.sections import NonNegative, PositiveInt, Section, never_bears

FILE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
made = cache(page)


class Inner(Section):
    """``depth``: of the well."""

    depth: PositiveInt = 3


class Base(Section):
    """Of all. ``length``: of what is tied. ``size``: in the base's words."""

    size: int | None = None
    length: Annotated[float, Field(gt=0, le=1)]


class Rope(Base):
    """A rope. ``kind``, ``size``: by the ``kind``, one of two; None: any. ``weight`` counts in kg."""

    kind: Literal["hemp", "wire"] = "hemp"
    name: Literal["rope"] = "rope"
    weight: NonNegative = never_bears("how it is carried", 1.0)
    inner: Inner | None = None
    parts: tuple[str, ...] = ("a",)


def test_the_page_is_what_the_code_says_now() -> None:
    assert FILE.read_text("utf-8") == made(), "python -m flows.reference > docs/reference/settings.md"


def test_every_value_of_a_run_is_there() -> None:
    """By the composed configuration, which the page's rows are not made of."""
    with composer():
        keys = {*values(), *values("scale=single", "policy=openrlhf", "benchmark=webshop", "data=real")}
    chosen_by_a_group = {"scale", "benchmark.name", "data.source", "policy.name", "algorithm.estimator.name"}
    assert [key for key in keys - chosen_by_a_group if f"| `{key}` |" not in made()] == []


def test_a_leaf_has_its_type_default_and_meaning() -> None:
    assert list(leaves(Rope, "tie.")) == [
        Leaf("tie.size", "whole number, or null", None, "by the `kind`, one of two; null: any", ""),
        Leaf("tie.length", "number > 0, ≤ 1", ..., "of what is tied", ""),
        Leaf("tie.kind", "`hemp` · `wire`", "hemp", "by the `kind`, one of two; null: any", ""),
        Leaf("tie.weight", "number ≥ 0", 1.0, "`weight` counts in kg", "how it is carried"),
        Leaf("tie.inner", "a section, or null", None, "", ""),
        Leaf("tie.inner.depth", "whole number > 0", 3, "of the well", ""),
        Leaf("tie.parts", "list of text", ("a",), "", ""),
    ]
    assert about(Rope) == "A rope"


def test_a_setting_that_nothing_explains_makes_no_page() -> None:
    with composer(), pytest.raises(LookupError, match=r"tie\.inner"):
        _part(Part("Tie", Rope, "tie."))
