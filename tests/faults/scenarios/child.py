"""One scenario, in the process and the namespaces that were made for it: ``python -m tests.faults.scenarios.child <name> <folder>``.

Writes ``<folder>/found.json``. ``template`` instead of a name makes what all scenarios begin with, and the run that nothing disturbs.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from dataclasses import asdict
from pathlib import Path

from tests.faults.scenarios import attacked, clock, machine, servers, signals, together
from tests.faults.scenarios.scene import DATABASE, Calm, NotTried, Scene, page_of
from tests.pipelines.runs import digests

SCENARIOS = {
    scenario.__name__: scenario
    for module in (servers, attacked, machine, clock, signals, together)
    for scenario in module.SCENARIOS
}
TEMPLATE = "template"
CALM = "calm.json"


def main(name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    template = folder.parent / TEMPLATE
    if name == TEMPLATE:
        _make(template)
        return
    calm = Calm(**json.loads((folder.parent / CALM).read_text()))
    scene, not_tried = Scene(folder, template, calm), ""
    try:
        SCENARIOS[name](scene)
    except NotTried as reason:
        not_tried = str(reason)
    found = {"faults": scene.faults, "seen": scene.seen, "not_tried": not_tried}
    (folder / "found.json").write_text(json.dumps(found))


def _make(template: Path) -> None:
    """Data, model, warm start and databases, by a run without iterations; and a run on these."""
    template.mkdir(exist_ok=True)
    nothing = Calm({}, None, 200.0)
    maker = Scene(template.parent, template, nothing)
    maker.ends(maker.start("training.iterations=0", "seed=99", work=template))
    (template / ".prefect" / "server.json").unlink()
    for database in (template / ".prefect" / "prefect.db", template / DATABASE):
        with sqlite3.connect(database) as opened:  # all of it in the one file
            opened.execute("pragma wal_checkpoint(truncate)")
    began, calm = time.monotonic(), template.parent / "calm"
    maker.furnish(calm)
    maker.ends(maker.start(work=calm))
    seconds = time.monotonic() - began
    if maker.faults:
        raise SystemExit(f"the run that nothing disturbs: {'; '.join(maker.faults)}")
    found = Calm(digests(calm), page_of(calm / DATABASE), seconds)
    (template.parent / CALM).write_text(json.dumps(asdict(found)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
