"""``gradients``: inner products of the gradients of an oracle's steps, for the cosine of policy gradients."""

from __future__ import annotations

import time

from flows.configure.recorded import experiment_of
from flows.credit.asked import HOW, Asked, Command
from flows.credit.score import oracle_folder, read_oracle


def _gradients(asked: Asked) -> None:
    """Everything that can be wrong is found before torch is imported."""
    from pipelines.artifacts import ArtifactStore
    from pipelines.config.views import COMMON_PACKAGES, package_versions
    from pipelines.credit.lineage import finished_run, lineage

    start, folder = time.monotonic(), oracle_folder(asked)
    info = finished_run(asked.run)
    experiment = experiment_of(info.config, asked.cluster)
    table = read_oracle(folder, info.fingerprint)
    store = ArtifactStore(asked.artifacts, package_versions(COMMON_PACKAGES))
    found = lineage(info, store)

    from flows.launch.libraries import calm_libraries

    calm_libraries()
    from pipelines.credit.gradients import measure_products
    from pipelines.credit.products import FILE, write_products
    from pipelines.stages.session import Session

    bar = asked.bar()
    try:
        with Session(store, 1) as session:
            products = measure_products(session, experiment, found, table, lambda done: bar.share(done, ""))
    finally:
        bar.close()
    write_products(folder, products)
    print(f"written: {folder}/{FILE}  ({time.monotonic() - start:.0f} s)")


GRADIENTS = Command(_gradients, ("oracle", "cluster", *HOW))
