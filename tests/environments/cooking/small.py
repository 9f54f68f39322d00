"""The cooking games at their smallest: two to train on and one to evaluate, for each takes two seconds to compile."""

from tests.environments.small import Small

SMALL = Small(
    sections={
        "benchmark": {
            "name": "cooking",
            "max_steps": 3,
            "prompt": {"instructions": False},
            "evaluation_split": "valid",
        },
        "data": {"source": "cooking_generated", "skills": ["fetch", "cook"], "train": 2, "valid": 1, "test": 0},
        "evaluation": {"every": 1, "games": 1},
    },
    data_file="data/*/train/game_00000.z8",
)
