"""Environments: one package a benchmark, each exporting its ``SPEC``, and the pool that plays their episodes in processes."""
