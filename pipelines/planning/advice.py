"""What to change where a plan does not fit: settings that suffice, at the least time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

Change = Mapping[str, Any]  # values by dotted key, set together


class Changeable(Protocol):
    """A plan whose settings can be tried."""

    @property
    def excess(self) -> Mapping[str, float]:
        """GiB too many, of what does not fit; empty: everything does."""
        ...

    @property
    def seconds(self) -> float: ...

    def changes(self) -> Iterator[Change]:
        """What could be set otherwise, each for itself."""
        ...

    def changed(self, change: Change) -> Self:
        """The plan with these values."""
        ...


def remedy(plan: Changeable) -> Change | None:
    """The settings that make it fit. Where one change suffices, the one that costs the least time; else changes are added,
    each the one that saves the most, and those that are not needed in the end are left out. None: nothing suffices.
    """
    tried = [(change, plan.changed(change)) for change in plan.changes()]
    enough = [(changed.seconds, number) for number, (_, changed) in enumerate(tried) if not changed.excess]
    if enough:
        return tried[min(enough)[1]][0]
    return _several(plan)


def _several(plan: Changeable) -> Change | None:
    made: list[Change] = []
    current = plan
    while current.excess:
        found = [(sum(current.changed(change).excess.values()), change) for change in current.changes()]
        left, best = min(found, key=lambda pair: pair[0], default=(float("inf"), {}))
        if left >= sum(current.excess.values()):
            return None
        made.append(best)
        current = current.changed(best)
    for change in list(made):
        others = [other for other in made if other is not change]
        if not _with(plan, others).excess:
            made = others
    return {key: value for change in made for key, value in change.items()}


def _with(plan: Changeable, changes: list[Change]) -> Changeable:
    for change in changes:
        plan = plan.changed(change)
    return plan


def savings(plan: Changeable) -> list[tuple[Change, float, float]]:
    """Single changes with the GiB that each saves of what is too many and the hours that the run then takes, the largest first;
    of several values of the same keys the one that saves the most."""
    over = sum(plan.excess.values())
    best: dict[tuple[str, ...], tuple[Change, float, float]] = {}
    for change in plan.changes():
        changed = plan.changed(change)
        saved = over - sum(changed.excess.values())
        if saved > best.get(tuple(change), ({}, 0.0, 0.0))[1]:
            best[tuple(change)] = change, saved, changed.seconds / 3600
    return sorted(best.values(), key=lambda found: -found[1])


def said(plan: Changeable, otherwise: str) -> str:
    """The remedy in words: what to set, and what it costs in time. ``otherwise``: what helps where no setting does."""
    change = remedy(plan)
    if change is None:
        return f"no setting suffices: {otherwise}"
    before, after = plan.seconds / 3600, plan.changed(change).seconds / 3600
    time = f" ({before:.1f} h become {after:.1f})" if round(before, 1) != round(after, 1) else ""
    return f"set {as_overrides(change)}{time}"


def by_adapter(adapted: Changeable, settings: Change) -> str | None:
    """An adapter as the remedy in words, with what else is needed then; None: nothing suffices. ``adapted``: the plan with it;
    ``settings``: those that choose it."""
    more = remedy(adapted) if adapted.excess else {}
    if more is None:
        return None
    return f"set {as_overrides({**settings, **more})}, which trains low-rank changes alone, and about ten times the learning rates"


def as_overrides(change: Change) -> str:
    """As the command line takes it."""
    return " ".join(
        f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in change.items()
    )
