"""Credit assignment on the stored rollouts of a finished run: ``python -m flows.credit``, a file for each command."""
