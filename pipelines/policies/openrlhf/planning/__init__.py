"""What a run of this policy would need, reckoned from its configuration before anything is started: memory and time."""
