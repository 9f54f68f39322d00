"""The example is the platform's own functions in a row: it runs as it stands, and what it prints is what happened."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples.loop import experiment, train


def test_the_loop_plays_learns_and_evaluates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start, end = train(experiment(iterations=1, imitate=4000), tmp_path)
    printed = capsys.readouterr().out
    assert f"start: {start:.3f}" in printed
    assert f"end: {end:.3f}" in printed
    iterations = re.findall(r"iteration +(\d+) .*rollout/steps ([\d.]+) .*gradient_norm ([\d.]+)", printed)
    assert [int(i) for i, *_ in iterations] == [0]
    assert all(float(steps) == 6 for _, steps, _ in iterations)  # a model that knows nothing plays to the end
    assert all(float(norm) > 0 for *_, norm in iterations)  # EMPG's bonus moves even a batch without a success
    assert len((Path(__file__).parents[2] / "examples" / "loop.py").read_text().splitlines()) <= 200
