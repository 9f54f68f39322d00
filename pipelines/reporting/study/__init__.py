"""A study that is registered before its first run: what it asks, what its runs gave, its verdict and the page that says it."""
