"""``make study``: a study that is registered before its first run, and can tell."""
