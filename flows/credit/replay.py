"""``replay``: what any method gives the steps of stored rollouts."""

from __future__ import annotations

import time

from flows.configure.recorded import experiment_of
from flows.credit.asked import HOW, METHODS, Asked, Command, chosen_iterations, chosen_methods
from pipelines.config.views import AdvantageView
from pipelines.credit.methods import name_of


def _replay(asked: Asked) -> None:
    """Everything that can be wrong is found before torch is imported."""
    from pipelines.artifacts import ArtifactStore
    from pipelines.credit.lineage import finished_run, lineage

    start, folder = time.monotonic(), asked.folder
    info = finished_run(asked.run)
    experiment = experiment_of(info.config)
    own = AdvantageView.of(experiment)
    chosen, left_out = chosen_methods(asked, own, experiment.policy.records)
    found = lineage(info, ArtifactStore(asked.artifacts))
    iterations = chosen_iterations(asked, len(found.iterations))

    from flows.launch.libraries import calm_libraries

    calm_libraries()
    from pipelines.artifacts import full_disk_is_readable
    from pipelines.credit import replay_report
    from pipelines.credit.replay import replay, same_as_trained_on
    from pipelines.credit.shown import shown_trajectories
    from pipelines.stages.reading import read_rollout

    bar = asked.bar()
    try:
        table = replay(found, iterations, chosen, lambda done: bar.share(done, ""))
    finally:
        bar.close()
    notes = [*left_out]
    if (name := name_of(own)) in chosen and chosen[name] == own:
        same = same_as_trained_on(found, iterations, table[name].to_numpy())
        notes.append(
            f"{name} is the run's own method: {same} of {table.num_rows} advantages are bit for bit those that it trained on."
        )
    with full_disk_is_readable(folder):
        batches = {i: read_rollout(found.iterations[i].rollout).batch() for i in {iterations[0], iterations[-1]}}
        trajectories = shown_trajectories(batches, chosen)
        replay_report.write(folder, table, trajectories, chosen, info, notes)
    print(
        f"written: {folder}/credit.parquet, agreement.md, .csv, .png, replay.html  ({time.monotonic() - start:.0f} s)"
    )


REPLAY = Command(_replay, ("estimators", "modulators", "iterations", "out", *HOW), METHODS)
