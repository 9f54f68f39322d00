"""Patches of third-party libraries, and uses of what these keep to themselves, each hold for certain versions.

They stand in the ``patches.py`` of the package that needs them, whose ``KNOWN`` names the versions that were tried, and call one of
these functions when they are applied.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from pipelines.errors import ConfigError

Known = Mapping[str, Sequence[str]]  # distribution → versions


def require_known(library: str, known: Known, purpose: str) -> None:
    """For a patch without which the numbers would be wrong or the run would fail.

    Raises:
        ConfigError: the installed version of ``library`` is none that the patch was written for.
    """
    if difference := _difference(library, tuple(known[library]), purpose):
        raise ConfigError(difference)


def warn_unknown(library: str, known: Known, purpose: str) -> None:
    """For a patch that only saves time or hides noise: a warning, once, instead of the error."""
    if difference := _difference(library, tuple(known[library]), purpose):
        warnings.warn(difference, stacklevel=3)


@cache
def _difference(library: str, known: tuple[str, ...], purpose: str) -> str | None:
    try:
        found = version(library).split("+")[0]  # "+cpu" is a build of the same version
    except PackageNotFoundError:
        found = "none"
    if found in known:
        return None
    return f"{purpose}: this is written for {library} {' or '.join(known)}, and {found} is installed: install {library}=={known[-1]}"
