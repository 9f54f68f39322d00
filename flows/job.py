"""One job of a launch, as Hydra calls it: in this process, or in one of a launcher's."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from flows.configure.compose import validated
from pipelines.config import RunConfig
from pipelines.errors import PlatformError
from pipelines.planning.readiness import check_machine
from pipelines.run_folder import is_finished, run_folder

LAUNCH = "EMPG_LAUNCH"  # folder of the launch that this job belongs to; named after the launching process
MANY = "EMPG_MANY"  # set when the launch shows the progress of all its jobs
WITHOUT_PREFECT = "EMPG_WITHOUT_PREFECT"  # set when the launch has no server
CLOSED_TRACKERS = "EMPG_CLOSED_TRACKERS"  # JSON: places of trackers that the launch could not open
FOLDER = "EMPG_FOLDER"  # the launch's working folder, where a launcher's processes are started elsewhere (Ray's are)


def job(composed: DictConfig) -> None:
    """Run it unless it is done. A failure is told, kept for the launch's summary, and stops no other job."""
    os.chdir(os.environ.get(FOLDER) or ".")
    config = validated(_plain(composed))
    if is_finished(config):
        return
    _end_with_the_launch()
    if os.environ.get(MANY):
        quiet = config.execution.model_copy(update={"progress": False})
        config = config.model_copy(update={"execution": quiet})
    from flows.run import run

    try:
        check_machine(config.experiment)  # of a launch's job on another machine nobody has looked yet
        run(config)
    except PlatformError as error:
        _fail(config, str(error))
    except Exception as error:  # a bug: its traceback is wanted
        traceback.print_exc()
        _fail(config, f"{type(error).__name__}: {error}")


def failure_file(folder: Path) -> Path | None:
    """Where this launch keeps why the run of ``folder`` failed; None outside a launch."""
    launch = os.environ.get(LAUNCH)
    return Path(launch) / hashlib.sha256(str(folder).encode()).hexdigest()[:20] if launch else None


def _fail(config: RunConfig, text: str) -> None:
    text = text.replace("\n", " ")
    folder = run_folder(config)
    print(f"error: {folder}: {text}", file=sys.stderr, flush=True)
    file = failure_file(folder)
    try:
        if file is not None:
            file.write_text(text)
    except OSError:  # a full disk: it was printed
        pass


def _end_with_the_launch() -> None:
    """A launcher's process whose launch was killed ends too: the next launch finds its runs free and continues them."""
    parent, launch = os.getppid(), Path(os.environ.get(LAUNCH, ""))
    if not launch.name.endswith(f"-{parent}") or any(
        t.name == _end_with_the_launch.__name__ for t in threading.enumerate()
    ):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name=_end_with_the_launch.__name__, daemon=True).start()


def _plain(composed: DictConfig) -> dict[str, Any]:
    """Without Hydra's own node, whose interpolations only resolve while Hydra runs."""
    raw = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(raw, dict)
    own = OmegaConf.create({str(key): value for key, value in raw.items() if key != "hydra"})
    resolved = OmegaConf.to_container(own, resolve=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}
