"""``report``: tables, figures, cards and a page from what ``score`` left."""

from __future__ import annotations

from pathlib import Path

from flows.credit.asked import Asked, Command


def _report(asked: Asked) -> None:
    out = Path(asked.values.get("out", "reports/credit"))

    tournament = asked.values.get("tournament")

    from pipelines.credit.report.write import write_report

    runs = write_report(asked.run, out, None if tournament is None else Path(tournament))
    print(f"written: {out}/report.html, tables, figures  ({runs} run{'s' * (runs > 1)})")


REPORT = Command(_report, ("out", "tournament"))
