"""One WebShop episode behind the ``Environment`` protocol, in a shop that all episodes of the process share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pipelines.environments.webshop.catalogue import Product
from pipelines.environments.webshop.nouns import Nouns
from pipelines.environments.webshop.reward import reward
from pipelines.environments.webshop.shop import Shop
from pipelines.environments.webshop.site import Site
from pipelines.protocols import Observation, Outcome


class WebshopEnvironment:
    """An environment plays one episode. ``open_shop`` is called on reset. The step that buys has the WebShop reward and every
    other step 0; an episode succeeds with a reward of 1.

    Raises (reset):
        DataError: the shop cannot be opened.
    """

    def __init__(
        self, open_shop: Callable[[], Shop], goal: int, nouns: Nouns, mode: Literal["text", "text_rich"]
    ) -> None:
        self._open_shop, self._goal_number, self._nouns, self._mode = open_shop, goal, nouns, mode
        self._site: Site | None = None

    def reset(self) -> Observation:
        if self._site is not None:
            raise RuntimeError("an environment plays one episode")
        shop = self._open_shop()
        goal = shop.goal(self._goal_number)

        def judge(bought: Product, options: dict[str, str]) -> float:
            return reward(bought, bought.price, options.values(), goal, self._nouns).total

        self._site = Site(shop.catalogue, shop.search, judge, goal.instruction)
        return self._observe(self._site)

    def step(self, action: str) -> Outcome:
        if self._site is None:
            raise RuntimeError("reset the environment before the first step")
        if self._site.reward is not None:
            raise RuntimeError("the episode is over: something was bought")
        valid = self._site.act(action)
        bought = self._site.reward
        score = 0.0 if bought is None else bought
        return Outcome(
            self._observe(self._site), score, score, success=score == 1.0, done=bought is not None, valid=valid
        )

    def state_key(self) -> str:
        """The kind of page, the product, its chosen options, the query and the page of its results; in mode ``text_rich``,
        which marks them, also the products opened since the last search page."""
        if self._site is None:
            raise RuntimeError("reset the environment before its state is asked for")
        return self._site.state_key(marks_visited=self._mode == "text_rich")

    def close(self) -> None: ...

    def _observe(self, site: Site) -> Observation:
        text = site.page.text() if self._mode == "text" else site.page.text_rich()
        return Observation(text, site.page.admissible())
