"""What a registered study says, as Markdown, CSV and one page of HTML: the same results and code give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.errors import DataError
from pipelines.files import atomic_write_text
from pipelines.reporting.names import benchmark_title
from pipelines.reporting.power import Component
from pipelines.reporting.rendering import Document, Heading, Table, csv_text, interval_text, markdown
from pipelines.reporting.statistics import POWER
from pipelines.reporting.study.results import Study, read_study_folder
from pipelines.reporting.study.verdict import Finding, Verdict, promises, verdict_of

_CSV = (
    "role", "arm", "baseline", "warm_starts", "pairs", "tasks", "difference", "low", "high", "p", "p_holm", "excludes", "verdict",
)  # fmt: skip
NOTE = (
    "Differences are paired: runs of two arms share warm start, seed, tasks and dice. Intervals and p by the crossed model of the "
    "tables (warm starts, seeds within them, tasks, games). The primary contrast and each control stand alone at 5 %; the second "
    "outcome and the other arms are one family, whose p are Holm's. “noise”: inside what warm starts, seeds and tasks vary by, which "
    "is no proof that there is no difference. “Excludes”: no difference beyond it, in either direction, lies in the 95 % interval."
)


def write_verdict(folder: Path, out: Path) -> tuple[Document, list[str]]:
    """From ``results/study/<name>`` into ``out``: ``verdict.md``, ``verdict.csv`` and ``verdict.html``. Returns the tables, and the
    verdict in words. Raises DataError: the folder is damaged, or not all runs are finished."""
    from pipelines.reporting.page.build import rendered
    from pipelines.reporting.page.tables import cut

    study = read_study_folder(folder)
    found = found_by(study)
    document, said = document_of(study, found), sentences(study, found)
    text = markdown(document)
    out.mkdir(parents=True, exist_ok=True)
    heading, _, rest = text.partition("\n\n")
    atomic_write_text(out / "verdict.md", "\n\n".join([heading, *said, rest]))
    atomic_write_text(out / "verdict.csv", findings_csv(found))
    title, sections, notes = cut(text)
    page = rendered("verdict.html.j2", name=title, said=said, sections=sections, notes=notes, data="null")
    atomic_write_text(out / "verdict.html", page)
    return document, said


def found_by(study: Study) -> Verdict:
    """Raises DataError: not all runs are finished."""
    if study.played is None:
        raise DataError(
            f"{study.name} has no verdict before all its runs are finished, for it is looked at once: go on with them"
        )
    return verdict_of(study.registration, study.size, study.played)


def document_of(study: Study, found: Verdict) -> Document:
    tables = (
        _comparisons(found), _controls(study, found), _arms(found), _varies(study, found), _made(study),
    )  # fmt: skip
    title = (
        f"{study.registration.question} {benchmark_title(study.registration.benchmark)}, {study.registered.hours} hours"
    )
    shown = tuple(table for table in tables if table.rows)
    expected = [(_names(finding), finding.control) for finding in found.of("control")]
    whys = (f"Why so much is expected of {name}: {control.why}." for name, control in expected if control)
    return Document(title, shown, (NOTE, *whys))


def sentences(study: Study, found: Verdict) -> list[str]:
    """The verdict in words: whether the instrument works, then what it measured."""
    rollouts = f"In the rollouts of the last {study.registration.rollouts} iterations, the second outcome,"
    return [
        *_instrument(found.of("control")),
        f"On held-out tasks {_measured(found.primary)}.",
        *(f"{rollouts} {_measured(finding)} (p is Holm's)." for finding in found.of("second outcome")),
        *_others(found.of("other arm")),
    ]


def _instrument(controls: Sequence[Finding]) -> Iterator[str]:
    if missed := [_names(finding) for finding in controls if not finding.told]:
        yield (
            f"The instrument failed: it did not tell {_and(missed)}, though an effect was expected, so that noise elsewhere says "
            "little."
        )
    elif controls:
        yield f"The instrument works: it told {_and(list(map(_names, controls)))}, as it had to."


def _names(finding: Finding) -> str:
    return f"{finding.contrast.arm} − {finding.contrast.baseline}"


def _measured(finding: Finding) -> str:
    d = finding.difference
    excluded = f"every difference beyond {_excludes(finding)} points, in either direction, is excluded"
    if math.isnan(finding.excludes):
        excluded = "nothing varied, so that nothing is excluded"
    word = {"higher": "a difference, higher", "lower": "a difference, lower"}.get(finding.verdict, finding.verdict)
    interval = f"95 % interval {interval_text(d.low, d.high, '+')}, {_equals(finding.p)}"
    return f"{_names(finding)} is {100 * d.mean:+.1f} points, {interval}: {word}; {excluded}"


def _others(findings: Sequence[Finding]) -> Iterator[str]:
    told = [f"{_names(finding)} is {finding.verdict}" for finding in findings if finding.verdict != "noise"]
    if findings:
        what = f"{_and(told)}; what is not named is noise" if told else "all are noise"
        yield f"Of {len(findings)} other comparisons {what}."


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 2 else words)


# ------------------------------------------------------------------------------------------------------------- tables


def _comparisons(found: Verdict) -> Table:
    rows = [_row(finding) for finding in found.findings if finding.role != "control"]
    header = ("comparison", "of", "difference", "95 % interval", "p", "p (Holm)", "excludes", "verdict")
    return Table("Comparisons (points)", tuple(map(Heading, header)), tuple(rows), 2)


def _row(finding: Finding) -> tuple[str, ...]:
    d = finding.difference
    alone = finding.role in ("primary", "control")
    return (
        f"{finding.contrast.arm} − {finding.contrast.baseline}",
        {"primary": "primary: held-out tasks", "second outcome": "second outcome: last rollouts"}.get(finding.role, "held-out tasks"),
        f"{100 * d.mean:+.1f}",
        interval_text(d.low, d.high, "+"),
        _p(d.p),
        "–" if alone else _p(finding.p),
        _excludes(finding),
        finding.verdict,
    )  # fmt: skip


def _excludes(finding: Finding) -> str:
    return "–" if math.isnan(finding.excludes) else f"{100 * finding.excludes:.1f}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _equals(p: float) -> str:
    return f"p {_p(p)}" if p < 0.001 else f"p = {_p(p)}"


def _controls(study: Study, found: Verdict) -> Table:
    planned = next(p for p in promises(study.registration, study.size) if p.spread == study.registration.planned)
    rows = []
    for finding in found.of("control"):
        control, d = finding.control, finding.difference
        assert control is not None
        rows.append((
            _names(finding), f"{control.at_least:g} points {control.expected} at least",
            f"{planned.controls[finding.contrast.arm]:.0%}", f"{100 * d.mean:+.1f}", interval_text(d.low, d.high, "+"), _p(d.p),
            "yes" if finding.told else "no",
        ))  # fmt: skip
    header = ("control", "expected", "planned power", "difference", "95 % interval", "p", "told")
    return Table("Controls: does the instrument work?", tuple(map(Heading, header)), tuple(rows), 2)


def _arms(found: Verdict) -> Table:
    rows = tuple(
        (arm, f"{100 * start.mean:.1f}", f"{100 * end.mean:.1f}", interval_text(end.low, end.high))
        for arm, (start, end) in found.arms.items()
    )
    header = ("arm", "before", "after", "95 % interval")
    return Table("Success on held-out tasks (%)", tuple(map(Heading, header)), rows, 1)


def _varies(study: Study, found: Verdict) -> Table:
    """Beside what the plan took them to vary by."""
    planned, parts = study.registration.spreads[study.registration.planned], found.varies
    # Comparisons that share an arm are no evidence of their own, as the interval of several would count them.
    pooled = bool(found.of("other arm"))
    rows = [
        (what, _sd(part), "–" if pooled else _interval(part), f"{expected:.1f}")
        for what, part, expected in (
            ("warm start", parts.start, planned.warm_start),
            ("seed", parts.seed, planned.seed),
            ("task", parts.task, planned.task),
        )
    ]
    rows.append(("dice of one game of either arm", f"{100 * parts.dice**0.5:.1f}", "–", f"{planned.dice:.1f}"))
    promised = next(p for p in promises(study.registration, study.size) if p.spread == study.registration.planned)
    tells = f"told from 0 by such a study in {POWER:.0%} of cases"
    rows.append((tells, f"{100 * found.could_tell:.1f}", "–", f"{100 * promised.alone:.1f}"))
    header = ("a difference to off varies by", "found", "95 % interval", "planned")
    return Table("What differences vary by (standard deviations, points)", tuple(map(Heading, header)), tuple(rows), 1)


def _sd(part: Component) -> str:
    return f"{100 * part.variance**0.5:.1f}" if part.df else "–"


def _interval(part: Component) -> str:
    return f"{100 * part.low**0.5:.1f} – {100 * part.high**0.5:.1f}" if part.df else "–"


def _made(study: Study) -> Table:
    registered, size = study.registered, study.size
    assert study.played is not None
    runs = study.played.runs
    commits = ", ".join(
        f"{commit[:12]}{'+' * commit.endswith('+')} ({count} runs)"
        for commit, count in runs["commit"].value_counts(sort=False).items()
    )
    spent = runs["seconds"].dropna()
    measured = f"{spent.sum() / 3600:.2f}" + (
        f", of {len(spent)} of {len(runs)} runs" if len(spent) < len(runs) else ""
    )
    rows = (
        ("registered", f"{registered.registered}, before the first run"),
        ("registration (SHA-256)", registered.registration),
        ("what it composes to (SHA-256)", registered.composed),
        ("code when registered", registered.commit),
        ("code of the runs", commits),
        ("kind of machine", "; ".join(f"{name} {value}" for name, value in registered.machine.items())),
        ("warm starts", str(size.warm_starts)),
        ("seeds of each", str(study.registration.seeds_per_warm_start)),
        ("arms", str(len(size.arms))),
        ("held-out tasks of each run", f"{study.registration.tasks:,}"),
        ("runs", str(len(runs))),
        ("core-hours planned", f"{registered.core_hours:.2f}"),
        ("hours of the runs' processes", measured),
    )  # fmt: skip
    return Table("How it was made", (Heading("what"), Heading("is")), rows, 2)


def findings_csv(found: Verdict) -> str:
    """All digits; differences in points."""
    return csv_text(_CSV, _lines(found))


def _lines(found: Verdict) -> Iterator[list[object]]:
    for finding in found.findings:
        d = finding.difference
        *points, excludes = (
            100 * value if math.isfinite(value) else "" for value in (d.mean, d.low, d.high, finding.excludes)
        )
        yield [
            finding.role, finding.contrast.arm, finding.contrast.baseline, d.starts, d.seeds, d.tasks, *points, d.p,
            finding.p if finding.role in ("second outcome", "other arm") else "", excludes, finding.verdict,
        ]  # fmt: skip
