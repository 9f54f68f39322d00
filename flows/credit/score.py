"""``score``: how well each method's credit agrees with an oracle's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from flows.configure.recorded import experiment_of
from flows.credit.asked import HOW, METHODS, Asked, Command, chosen_methods
from pipelines.config.views import AdvantageView
from pipelines.errors import ConfigError, MissingCheckpoint

if TYPE_CHECKING:
    import pyarrow as pa


def _score(asked: Asked) -> None:
    """Everything that can be wrong is found before torch is imported."""
    from pipelines.artifacts import ArtifactStore
    from pipelines.credit.lineage import finished_run, lineage

    start, folder = time.monotonic(), asked.folder
    info = finished_run(asked.run)
    experiment = experiment_of(info.config)
    chosen, left_out = chosen_methods(asked, AdvantageView.of(experiment), experiment.policy.records)
    oracle = oracle_folder(asked)
    table = read_oracle(oracle, info.fingerprint)
    sizes = _sizes(asked, experiment.training.group_size)
    found = lineage(info, ArtifactStore(asked.artifacts))

    from flows.launch.libraries import calm_libraries

    calm_libraries()
    from pipelines.artifacts import full_disk_is_readable
    from pipelines.credit import score_report
    from pipelines.credit.products import read_products
    from pipelines.credit.scored import score_methods
    from pipelines.credit.shown import shown_trajectories
    from pipelines.credit.truth import Measured
    from pipelines.files import read_json
    from pipelines.stages.reading import read_rollout

    measured = Measured.of(table, read_products(oracle))
    batches = {i: read_rollout(found.iterations[i].rollout).batch() for i in measured.iterations}
    bar = asked.bar()
    try:
        scored = score_methods(sizes, batches, chosen, measured, lambda done: bar.share(done, ""))
    finally:
        bar.close()
    with full_disk_is_readable(folder):
        trajectories, question = shown_trajectories(batches, chosen), read_json(oracle / "oracle.json")
        score_report.write(folder, scored, chosen, measured, question, trajectories, info)
    print(
        *left_out,
        f"written: {folder}/scores.md and what the report reads  ({time.monotonic() - start:.0f} s)",
        sep="\n",
    )


def oracle_folder(asked: Asked) -> Path:
    return Path(asked.values.get("oracle", asked.usual("oracle")))


def read_oracle(folder: Path, run: str) -> pa.Table:
    """ORACLE. Raises MissingCheckpoint: there is none, or it is another run's."""
    import pyarrow.parquet as pq

    from pipelines.files import read_json
    from pipelines.schemas import ORACLE

    try:
        of = read_json(folder / "oracle.json")["run"]
        table = pq.read_table(folder / ORACLE.file)
        if not (table.num_rows and table.schema.equals(ORACLE.schema)):
            raise ValueError(f"{ORACLE.file} is empty or has other columns than an oracle's")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingCheckpoint(
            f"{folder} holds no oracle ({error}): give the run to python -m flows.credit oracle first, or say oracle=<its folder>"
        ) from None
    if of != run:
        raise MissingCheckpoint(f"oracle={folder} is of another run: name the folder that this run's oracle wrote")
    return table


def _sizes(asked: Asked, members: int) -> list[int]:
    """Raises ConfigError: no size, or one that no group has."""
    text = asked.values.get("sizes", "")
    for part in text.split(",") if text else ():
        if not part.isdecimal() or not 2 <= int(part) <= members:
            raise ConfigError(f"sizes={text}: the run's groups have {members} episodes; give numbers from 2 to that")
    return sorted({int(part) for part in text.split(",")}) if text else []


SCORE = Command(_score, ("estimators", "modulators", "sizes", "oracle", "out", *HOW), METHODS)
