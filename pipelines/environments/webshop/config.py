"""WebShop."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from pipelines.sections import (
    BenchmarkSection,
    DataSection,
    FolderData,
    GeneratedData,
    Int,
    NonNegativeInt,
    PositiveInt,
    PromptSettings,
)


class WebshopPrompt(PromptSettings):
    """``compact``: pages in fewer tokens with numbered result rows, for models made here; it needs ``history: full``, which shows what
    a compact page leaves out."""

    compact: bool = False

    @model_validator(mode="after")
    def _nothing_is_lost(self) -> WebshopPrompt:
        if self.compact and self.history != "full":
            raise ValueError(
                f"compact=true leaves out what was shown before: it needs history=full, not {self.history}"
            )
        return self


class WebshopConfig(BenchmarkSection):
    """The WebShop text environment.

    ``observation``: the original's mode. ``reward``: what a solved task's pay is multiplied by: success (the GiGPO code base), or
    the score in [0, 1]. ``noun_tagger``: for the reward's comparison of titles; auto: spaCy's model if it is installed, else rules,
    whose scores cannot be compared with published ones."""

    name: Literal["webshop"] = "webshop"
    max_steps: PositiveInt = 15
    observation: Literal["text", "text_rich"] = "text"
    prompt: WebshopPrompt = WebshopPrompt()
    reward: Literal["success", "score"] = "success"
    noun_tagger: Literal["auto", "spacy", "rules"] = "auto"
    evaluation_split: Literal["test", "dev"] = "test"

    @property
    def measures(self) -> dict[str, str]:
        return {"success": "success", "score": "score"}


class WebshopGoals(DataSection):
    """The original's shuffled order of the goals, split as there: the first 500 evaluate.

    ``goals``: made from the products' attributes and options, or written by people. ``seed``: of the prices and price caps that are
    drawn. ``dev``: goals behind the first 500 that do not train. ``train``: of the goals that are left, the first so many train; 0:
    all (the full catalogue has millions)."""

    goals: Literal["synthetic", "human"] = "synthetic"
    seed: Int = 0
    dev: NonNegativeInt = 1000
    train: NonNegativeInt = 0


class WebshopGenerated(WebshopGoals, GeneratedData):
    """A catalogue made here in the original's schema.

    ``products``: of the catalogue. ``test``: goals that evaluate."""

    source: Literal["webshop_generated"] = "webshop_generated"
    products: PositiveInt = 1000
    test: PositiveInt = 500


class WebshopReal(WebshopGoals, FolderData):
    """WebShop's own files, read unchanged.

    ``catalogue``: the one of 1,000 products (``items_shuffle_1000.json``), or the full one. ``products``: of the catalogue, the
    first so many; None: all."""

    variable: ClassVar[str] = "WEBSHOP_DATA"
    needs: ClassVar[str] = "WebShop's files (its setup.sh downloads them)"
    test: ClassVar[int] = 500
    source: Literal["webshop_real"] = "webshop_real"
    catalogue: Literal["small", "full"] = "small"
    products: PositiveInt | None = None

    def holds(self, split: str) -> int:
        return self.dev if split == "dev" else self.test
