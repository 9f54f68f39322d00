"""``python -m flows.reference > docs/reference/settings.md``: every setting, from the code that checks it and the files that set it."""
