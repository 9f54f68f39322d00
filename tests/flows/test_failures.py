"""The last word of a launch: what failed and why, each reason whole and once."""

from __future__ import annotations

import pytest

from flows.launch.execution import Failure
from flows.windows.terminal import report
from tests.flows.test_jobs import jobs_of

LONG = "artifacts/model/[0123456789] is damaged: " + "no such file; " * 20 + "remove the folder and launch again"


def test_a_reason_is_one_line_and_runs_that_share_it_have_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = jobs_of("algorithm=grpo,dapo", "seed=0,1")
    report([Failure(jobs[0], LONG), Failure(jobs[3], "another"), Failure(jobs[1], LONG)], jobs, jobs)
    printed = capsys.readouterr()
    assert printed.out == f"finished: {jobs[2].folder}\n"
    said = printed.err.splitlines()
    assert "3 of 4 runs failed:" in said
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in said if line.startswith("│")]
    assert rows == [["grpo seed0", LONG], ["grpo seed1", ""], ["dapo seed1", "another"]]
    assert "same launch again" in said[-1]
