"""Deep Search at its smallest: two worlds of three countries."""

from tests.environments.small import Small

SMALL = Small(
    sections={
        "benchmark": {"name": "deepsearch", "max_steps": 3, "prompt": {"instructions": False}},
        "data": {
            "source": "deepsearch_generated", "train_worlds": 1, "countries": 3, "cities": 6, "rivers": 3, "people": 40,
            "works": 10, "facts": 2, "in_domain": ["one_hop", "two_hop"], "out_of_domain": ["three_hop"], "train": 6, "test": 6,
        },
    },
    data_file="data/*/corpora/*.jsonl",
    cache_file="cache/deepsearch/*/tantivy/*.store",
)  # fmt: skip
