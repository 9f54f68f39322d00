"""The lines of a run's log on its page in Prefect, sent some at a time: each request takes milliseconds of the run."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from flows.windows.stages import PrefectStages, warn_without_prefect

_SEND_S = 10.0  # at least between two requests
_INFO = 20  # Prefect's level, as logging's


class PrefectLog:
    """Of the flow run around. What Prefect does not take stands in ``run.log`` alone: one warning, and neither lines nor ``stages`` are
    shown any more."""

    def __init__(self, stages: PrefectStages) -> None:
        from prefect.runtime import flow_run

        self._stages, self._flow_run = stages, flow_run.id
        self._lines: list[Any] = []
        self._sent = time.monotonic()

    def say(self, text: str) -> None:
        from prefect.client.schemas.actions import LogCreate

        self._lines.append(
            LogCreate(name="run", level=_INFO, message=text, timestamp=datetime.now(UTC), flow_run_id=self._flow_run)
        )
        if time.monotonic() - self._sent > _SEND_S:
            self.send()

    def send(self) -> None:
        """All that wait."""
        from prefect.client.orchestration import get_client

        lines, self._lines = self._lines, []
        self._sent = time.monotonic()
        try:
            if lines and self._stages.in_prefect:
                with get_client(sync_client=True) as client:
                    client.create_logs(lines)
                self._stages.waited(time.monotonic() - self._sent)
        except Exception as error:
            self._stages.in_prefect = False
            warn_without_prefect(error)
