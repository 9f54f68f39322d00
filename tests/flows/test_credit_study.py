"""``make credit`` and ``make tournament``: what they cost is said before they start, and a mistake is found then."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.configure.compose import compose
from flows.credit import study, tournament
from flows.credit.oracle import Numbers
from flows.launch.jobs import Job, core_seconds


def jobs(runs: Path) -> list[Job]:
    """Two that share a warm start."""
    return [Job((), compose([f"empg={arm}", f"execution.runs={runs}"])) for arm in ("off", "full")]


def test_a_warm_start_is_counted_once(tmp_path: Path) -> None:
    off, full = jobs(tmp_path)
    assert off.shared.key == full.shared.key
    assert core_seconds([off, full]) == pytest.approx(off.seconds + full.seconds + off.shared.seconds)


def test_the_costs_are_said_by_hand(tmp_path: Path) -> None:
    """3 iterations × 2 prefixes × 200 steps × 32 continuations × 10 of 20 steps at .0022 s: 845 s.
    Scores: 2 × 3 × 200 × .35 s: 7 min."""
    off, full = jobs(tmp_path)
    numbers = Numbers(200, 32, 0, 1, plan=False, pages=False)
    assert study.oracle_seconds(off.config.experiment, numbers) == pytest.approx(844.8)
    lines = study.cost_lines([off, full], numbers, cores=2)
    assert "2 of 2 runs to train" in lines[0]
    assert "alfworld 14 min, alfworld 14 min; gradients, replay and scores: about 7 min" in lines[1]
    assert "2 runs to train" in tournament.cost_line([off, full], 2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("steps=0", "steps=0"),
        ("continuations=3", "continuations=3"),
        ("scale=smokey", "did you mean smoke"),
        ("step=3", "step"),
    ],
)
def test_a_mistake_is_one_line(arguments: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.main([arguments]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert named in line
    assert not captured.out
