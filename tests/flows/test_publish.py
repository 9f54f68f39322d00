"""What follows a launch: what DVC says told in a line."""

from __future__ import annotations

from flows.publish import _cause


def test_a_dvc_that_is_at_work_is_named_and_its_lock_is_not_to_be_removed() -> None:
    """As DVC 3.67 says it."""
    said = (
        "ERROR: '/data/empg/reports/grid' is busy, it is being blocked by:\n"
        "  (PID 4711): /data/.venv/bin/dvc repro\n"
        "\n"
        "If there are no processes with such PIDs, you can manually remove '/data/empg/.dvc/tmp/rwlock' and try again.\n"
    )
    assert _cause(said) == (
        "process 4711 (/data/.venv/bin/dvc repro) is at work on the same files: wait for it, or stop it, and launch again"
    )


def test_the_error_of_a_stage_is_reported_before_dvcs_last_lines() -> None:
    said = "warning: odd\nerror: results/grid/x is malformed\nERROR: failed to reproduce 'table': exit status 1\n"
    assert _cause(said) == "results/grid/x is malformed"
    assert _cause("ERROR: you are not inside of a DVC repository\n") == "ERROR: you are not inside of a DVC repository"
    assert _cause("") == "no output"
