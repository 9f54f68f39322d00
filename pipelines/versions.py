"""What each stage computes, by number."""

from __future__ import annotations

# Raise a stage's when its code computes something else, be it last bits: finished artifacts of the old one, and finished
# runs, are then made anew.
STAGES = {
    "data": 2,
    "panels": 3,
    "model": 2,
    "model_check": 2,
    "warm_start": 6,
    "rollout": 9,
    "advantage": 3,
    "update": 4,
    "evaluate": 8,
    "analysis": 5,
}

# What is measured on finished runs: no part of what a run is.
MEASUREMENTS = {"continuations": 4}

# What is made of packages' files, once: no part of what a run is either.
CONVERSIONS = {"converted": 1}
