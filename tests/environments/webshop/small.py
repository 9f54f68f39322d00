"""WebShop at its smallest: twenty products."""

from pipelines.environments.webshop.shop import close_shops
from tests.environments.small import Small

SMALL = Small(
    sections={
        "benchmark": {
            "name": "webshop", "max_steps": 3, "prompt": {"compact": True, "instructions": False}, "noun_tagger": "rules",
        },
        "data": {"source": "webshop_generated", "products": 20, "test": 6, "dev": 0},
    },
    data_file="data/*/items_shuffle_1000.json",
    cache_file="cache/webshop/*/products.jsonl",
    forget=close_shops,
)  # fmt: skip
