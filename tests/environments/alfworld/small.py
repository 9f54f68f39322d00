"""ALFWorld at its smallest: six games of two object types in three receptacles."""

from tests.environments.small import Small

SMALL = Small(
    sections={
        "benchmark": {
            "name": "alfworld", "max_steps": 3, "prompt": {"show_admissible": False, "instructions": False},
            "evaluation_split": "valid_unseen",
        },
        "data": {"source": "generated", "train": 6, "valid_seen": 0, "valid_unseen": 6, "receptacles": 3, "object_types": 2},
    },
    data_file="data/*/json_2.1.1/train/*/*/game.tw-pddl",
)  # fmt: skip
