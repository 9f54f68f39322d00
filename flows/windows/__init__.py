"""Who shows what happens: Prefect, the terminal, trackers. Windows, not pillars: one that fails costs its view alone."""
