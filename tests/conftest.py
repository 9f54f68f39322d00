"""`make test` runs several tests at a time: what takes every core (making data, playing demonstrations) takes one here."""

import os

os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")
