"""Pages of finished runs that a tracker could not be told everything of: completed from the runs' results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from flows.launch.context import current_launch
from flows.windows.tracked import open_trackers, tracked_run
from pipelines.config import RunConfig
from pipelines.errors import RunLocked
from pipelines.files import damaged_file
from pipelines.run_folder import run_lock
from pipelines.run_info import RunInfo, read_run_info
from pipelines.schemas import RUN_EVALUATIONS, RUN_JSON, RUN_METRICS
from pipelines.tracking.guard import prepare, run_trackers, warn
from pipelines.tracking.protocol import Tracker


def complete_pages(config: RunConfig, but: Sequence[Path] = ()) -> Iterator[tuple[Path, bool]]:
    """Of the finished runs below ``execution.runs``, ``but`` not of these: each folder whose page lacked something, and whether it is
    whole now. A tracker that fails two in a row, or has just failed one of ``but``, is asked no further."""
    for settings in open_trackers(config):
        if any(settings.owes(folder) for folder in but):
            continue
        owed = [path.parents[1] for path in sorted(config.execution.runs.glob(f"*/seed*/results/{RUN_JSON}"))]
        owed = [folder for folder in owed if folder not in but and settings.owes(folder)]
        failed = bool(owed) and current_launch() is None  # a launch has opened it
        failed = failed and bool(prepare([settings], f"the pages of {len(owed)} finished runs wait for it"))
        still = 0  # pages in a row that are not whole: one may lack a file that cannot be kept
        for folder in owed:
            whole = False
            try:
                with run_lock(folder):
                    # Its own process may have told meanwhile.
                    if not settings.owes(folder) or (info := _finished(folder)) is None:
                        continue
                    if not failed:
                        told = partial(_tell, folder=folder, info=info, store=config.execution.artifacts)
                        run_trackers([settings], tracked_run(folder, info)).each(told)
                        whole = not settings.owes(folder)
                        still = 0 if whole else still + 1
                        failed = still > 1
            except RunLocked:  # its own process tells
                continue
            except OSError as error:
                warn(f"{folder} cannot be locked, its page waits", error)
            yield folder, whole


def _finished(folder: Path) -> RunInfo | None:
    """None: the results are damaged, and wait for the run's next launch."""
    results = folder / "results"
    try:
        return read_run_info(results) if damaged_file(results) is None else None
    except (OSError, ValueError):
        return None


def _tell(tracker: Tracker, folder: Path, info: RunInfo, store: Path) -> None:
    """As the loop told it, but for what was measured in passing: that is there already, or was kept."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    results = folder / "results"
    tracker.start()
    for row in pq.read_table(results / RUN_METRICS.file).to_pylist():
        iteration = row.pop("iteration")
        tracker.metrics(iteration, {name: value for name, value in row.items() if value is not None})
    evaluations = pq.read_table(results / RUN_EVALUATIONS.file)
    for iteration in pc.unique(evaluations["iteration"]).to_pylist():
        tracker.evaluation(iteration, evaluations.filter(pc.field("iteration") == iteration).drop_columns("iteration"))
    tracker.upload(results, _trained_model(info, store))
    tracker.end("FINISHED")


def _trained_model(info: RunInfo, store: Path) -> Path | None:
    """None: the run trained nothing, or its last checkpoint is not here."""
    trained = info.stand_in or not info.checkpoint.startswith("model/")
    model = store / info.checkpoint / "model"
    return model if info.checkpoint and trained and model.is_dir() else None
