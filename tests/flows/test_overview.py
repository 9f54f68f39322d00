"""What a launch shows of its runs: the names of their bars, and plain lines where there is no terminal."""

from __future__ import annotations

import pytest

from flows.compose import compose, expand
from flows.overview import Bar, names
from pipelines.run_folder import run_folder


def test_names_say_what_differs() -> None:
    configs = [compose(job) for job in expand(["algorithm=grpo,dapo", "seed=0,1"])]
    assert names(configs) == ["grpo seed0", "grpo seed1", "dapo seed0", "dapo seed1"]


def test_names_stay_unique() -> None:
    configs = [compose([f"training.learning_rate={rate}"]) for rate in (1e-3, 2e-3)]
    assert names(configs) == [f"{run_folder(c).parent.name}/seed0" for c in configs]


def test_lines_come_every_30_seconds_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also after the last iteration, where the last evaluation tells much and the share stays 100 %. Errors go to a pipe
    here, so there is no terminal; the clock is ours: 2 s a word, 20 words of the loop, 20 of the last evaluation."""
    now = 1000.0
    monkeypatch.setattr("flows.overview.time.monotonic", lambda: now)
    bar = Bar("run", shown=True)
    for word in range(1, 41):
        now += 2.0
        bar.update(min(word, 20), 20, "evaluate" if word > 20 else "rollout")
    bar.finish()
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "run:   5% after 2 s, 38 s left  rollout",
        "run:  85% after 34 s, 6 s left  rollout",
        "run: 100% after 66 s, 0 s left  evaluate",
        "run: finished after 80 s",
    ]


def test_a_bar_that_is_not_shown_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar("run", shown=False)
    bar.update(1, 1, "evaluate")
    bar.finish()
    bar.close()
    assert capsys.readouterr().err == ""
