"""Prints the page."""

from flows.reference.page import page

print(page(), end="")
