"""Errors that a user can act on: one line saying what is wrong, with the offending value and the remedy.

``flows`` prints a ``PlatformError`` without a traceback and exits non-zero. Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations


class PlatformError(Exception):
    """Base of all user-facing errors."""


class ConfigError(PlatformError):
    """A configuration value is unknown, out of range or inconsistent."""


class DataError(PlatformError):
    """A data file is missing, malformed or altered."""


class CorruptArtifact(PlatformError):
    """An artifact's file differs from its record."""


class ArtifactLocked(PlatformError):
    """Another process makes an artifact or is taking its files away, and does not go on."""


class StoreFull(PlatformError):
    """The disk is full; the unfinished artifact was removed, finished ones are intact."""


class RunLocked(PlatformError):
    """The same run is alive in another process."""


class NonFiniteLoss(PlatformError):
    """A loss or gradient is NaN or infinite; the optimiser step was not taken."""


class MissingCheckpoint(PlatformError):
    """A checkpoint that the run needs is absent or incomplete."""


class EngineDied(PlatformError):
    """The engine that generates died in the middle of a rollout; what was finished stays."""


class WorkerDied(PlatformError):
    """A process of the policy died; what was finished stays."""


class EnvironmentFailure(PlatformError):
    """An environment died and its retries are spent."""


class ReplayDiffers(PlatformError):
    """An episode that was replayed was answered otherwise than it had been."""


class MachineFailure(PlatformError):
    """The machine failed the run: something cannot be read or written, or memory or file handles are used up."""


class ServerDead(PlatformError):
    """A server that the launch needs did not start."""
