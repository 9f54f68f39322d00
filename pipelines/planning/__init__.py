"""Before a launch: what a run would need, and whether it is here. Each policy knows that of itself. Light to import."""
