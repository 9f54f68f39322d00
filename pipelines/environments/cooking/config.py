"""Settings of the cooking games."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from pipelines.sections import (
    BenchmarkSection,
    FolderData,
    GeneratedData,
    Int,
    NonNegativeInt,
    PositiveInt,
)

Skill = Literal["fetch", "cut", "cook", "cook_cut"]


class CookingConfig(BenchmarkSection):
    """TextWorld's cooking games, played in text on their own engine. A meal that is eaten pays, and every invalid action costs. The
    score is the share of the game's points."""

    name: Literal["cooking"] = "cooking"
    max_steps: PositiveInt = 50
    evaluation_split: Literal["valid", "test"] = "test"

    @property
    def measures(self) -> dict[str, str]:
        return {"success": "success", "score": "points"}


class CookingGenerated(GeneratedData):
    """Games made here by the challenge's own generator and compiled by TextWorld's own Inform 7.

    ``seed``: of what is drawn. ``skills``: what recipes ask for besides fetching; games of each take turns. ``ingredients``: of a
    recipe; all must be found. ``rooms``: of the house; with one there is only the kitchen. ``closed``: whether doors and containers
    must be opened. ``train``: training games. ``valid``: held-out games with the food and the preparations of training. ``test``:
    held-out games of TextWorld's test split, whose food and preparations training never shows."""

    source: Literal["cooking_generated"] = "cooking_generated"
    seed: NonNegativeInt = 0
    skills: tuple[Skill, ...] = ("fetch", "cut", "cook", "cook_cut")
    ingredients: Annotated[Int, Field(ge=1, le=5)] = 1
    rooms: Literal[1, 6, 9, 12] = 1
    closed: bool = True
    train: PositiveInt = 96
    valid: NonNegativeInt = 48
    test: NonNegativeInt = 48

    @field_validator("skills")
    @classmethod
    def _different(cls, skills: tuple[Skill, ...]) -> tuple[Skill, ...]:
        if not skills or len(set(skills)) < len(skills):
            raise ValueError("name one skill or several different ones")
        return skills


class CookingReal(FolderData):
    """Cooking games that others made, as those of the First TextWorld Problems competition: ``<root>/{train,valid,test}`` hold
    ``<game>.z8`` and ``<game>.json``."""

    variable: ClassVar[str] = "COOKING_DATA"
    needs: ClassVar[str] = "cooking games (train/*.z8, valid/*.z8, test/*.z8)"
    source: Literal["cooking_real"] = "cooking_real"
