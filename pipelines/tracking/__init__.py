"""Trackers: where people look at what a run logs. A tracker is one module of this package with a ``SETTINGS``."""
