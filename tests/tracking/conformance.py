"""What every tracker must do. A subclass opens one, and reads back what it wrote."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.tracking.protocol import Status, TrackedRun, Tracker, TrackerSettings

CONFIG = {
    "scale": "test",
    "empg": {"zeta": 0.05, "arm": "full"},
    "deep": {"list": [1, 2], "none": None, "long": "v" * 9000},
}
TABLE = pa.table({"task_id": ["a|b", "c\nd"], "success": [True, False], "score": [0.5, None], "note": ["é", ""]})
ODD_TEXT = "half \ud800, nothing \0"  # as a folder's name may be
ODD_NAMES = ("hotpotqa@v1.1 (dev, 100%)/success", "/a//../b", "é/µ", "x" * 300)
REFUSED = "\ud800"  # half a character: no database, file or server takes it


class TrackerConformance:
    settings: TrackerSettings

    def points(self, run: TrackedRun) -> list[tuple[str, int, float]]:
        """Every point that is there, twice where it is twice."""
        raise NotImplementedError

    def tables(self, run: TrackedRun) -> list[int]:
        """Iterations of the evaluations that are there, twice where one is twice."""
        raise NotImplementedError

    def status(self, run: TrackedRun) -> str:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        self.settings = self.make_settings(tmp_path)
        self.settings.prepare()

    def make_settings(self, folder: Path) -> TrackerSettings:
        raise NotImplementedError

    @pytest.fixture
    def run(self, tmp_path: Path) -> TrackedRun:
        folder = tmp_path / "runs" / "cell" / "seed3"
        (folder / "results").mkdir(parents=True)
        (folder / "params.yaml").write_text("seed: 3")
        (folder / "results" / "run.json").write_text("{}")
        return TrackedRun(folder, "grpo full seed3", "cell", {"seed": "3", "empg": "full"}, CONFIG)

    def begin(self, run: TrackedRun) -> Tracker:
        tracker = self.settings.track_run(run)
        tracker.start()
        return tracker

    def test_what_is_logged_is_there(self, run: TrackedRun) -> None:
        tracker = self.begin(run)
        tracker.evaluation(0, TABLE)
        tracker.metrics(0, {"evaluation/success": 0.25})
        tracker.metrics(1, {"rollout/success": 0.1, "update/kl": 1e-9})
        tracker.evaluation(1, TABLE)
        tracker.metrics(1, {"evaluation/success": 0.5})
        tracker.upload(run.folder / "results", None)
        tracker.metrics(1, {"timing/run_s": 3.0})
        tracker.end("FINISHED")
        assert sorted(self.points(run)) == [
            ("evaluation/success", 0, 0.25), ("evaluation/success", 1, 0.5), ("rollout/success", 1, 0.1),
            ("timing/run_s", 1, 3.0), ("update/kl", 1, 1e-9),
        ]  # fmt: skip
        assert self.tables(run) == [0, 1]

    @pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
    def test_it_ends_with_its_status(self, run: TrackedRun, status: Status) -> None:
        self.begin(run).end(status)
        assert self.status(run) == status

    def test_a_resumed_run_goes_on_without_doubles(self, run: TrackedRun) -> None:
        """The loop tells again what it finds; what was measured first stays."""
        first = self.begin(run)
        first.evaluation(0, TABLE)
        first.metrics(0, {"evaluation/success": 0.25})
        first.metrics(1, {"seconds/rollout": 7.0})
        first.end("KILLED")
        second = self.begin(run)
        second.evaluation(0, TABLE)
        second.metrics(0, {"evaluation/success": 0.25})
        second.metrics(1, {"seconds/rollout": 0.0, "update/kl": 0.5})
        second.metrics(2, {"seconds/rollout": 8.0})
        second.end("FINISHED")
        assert sorted(self.points(run)) == [
            ("evaluation/success", 0, 0.25), ("seconds/rollout", 1, 7.0), ("seconds/rollout", 2, 8.0), ("update/kl", 1, 0.5),
        ]  # fmt: skip
        assert self.tables(run) == [0]
        assert self.status(run) == "FINISHED"

    def test_odd_names_and_values_are_kept_or_lost_alone(
        self, run: TrackedRun, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tracker = self.begin(run)
        capsys.readouterr()
        odd = {name: float(i) for i, name in enumerate(ODD_NAMES)}
        for iteration in range(2):
            tracker.metrics(iteration, {**odd, REFUSED: 9.0, "nan": math.nan, "inf": math.inf, "update/kl": 0.5})
        tracker.metrics(2, {"wrong": "no number"})  # type: ignore[dict-item]
        tracker.end("FINISHED")
        assert self.status(run) == "FINISHED"
        points = [(step, value) for name, step, value in self.points(run) if name not in ("nan", "inf")]
        assert sorted(points) == sorted([(i, v) for i in range(2) for v in [*odd.values(), 0.5, *self.kept(9.0)]])
        assert {name for name, *_ in self.points(run)} >= {"nan", "update/kl"}
        warnings = capsys.readouterr().err.splitlines()
        assert len(warnings) == len({line.split(",")[0] for line in warnings}) <= 2

    def kept(self, value: float) -> list[float]:
        """The refused name's value, where the tracker makes even that name acceptable."""
        return []

    def test_odd_texts_of_the_configuration_cost_at_most_themselves(self, run: TrackedRun) -> None:
        odd = replace(run, name=ODD_TEXT, tags={"odd": ODD_TEXT}, config={"odd": {ODD_TEXT: ODD_TEXT}})
        tracker = self.begin(odd)
        tracker.evaluation(0, pa.table({"task_id": ["nothing \0"]}))
        tracker.metrics(0, {"update/kl": 0.5})
        tracker.end("FINISHED")
        assert self.points(run) == [("update/kl", 0, 0.5)]
        assert self.status(run) == "FINISHED"

    def test_a_table_that_is_odd_costs_at_most_itself(self, run: TrackedRun) -> None:
        tracker = self.begin(run)
        tracker.evaluation(0, pa.table({"a": [[1, 2], None], "b": [{"c": 1.5}, {"c": math.nan}]}))
        tracker.metrics(0, {"update/kl": 0.5})
        tracker.end("FINISHED")
        assert ("update/kl", 0, 0.5) in self.points(run)
        assert self.status(run) == "FINISHED"
