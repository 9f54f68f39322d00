"""A launch as a flow run, without a server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flows.windows import grid_flow
from tests.flows.test_jobs import jobs_of


def test_a_launch_of_the_same_runs_that_was_killed_is_crashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All flow runs of its name but its own, before the work begins."""
    told: list[Any] = []

    def with_options(flow_run_name: str) -> Any:
        told.append(flow_run_name)
        return lambda return_state: grid_flow._work.get()()

    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", "mine")
    monkeypatch.setenv("PREFECT_API_URL", "http://here/api")
    monkeypatch.setattr(grid_flow, "grid", SimpleNamespace(with_options=with_options))
    monkeypatch.setattr(grid_flow, "mark_crashed", lambda *said, **but: told.append((*said, but)))
    monkeypatch.setattr(grid_flow, "publish_table", lambda *_: None)
    assert grid_flow.as_grid(jobs_of("seed=0,1"), lambda: told.append("work") or []) == []  # type: ignore[func-returns-value]
    name = told[0]
    assert "2 runs" in name
    assert told == [name, ("http://here/api", name, {"but": "mine"}), "work"]
