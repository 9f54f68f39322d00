"""``make ui``: the pages of Prefect and of the trackers, of this folder's runs, on loopback only, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.configure.compose import compose
from flows.windows.prefect_server import free_port, prefect_server, stop_process
from pipelines.config import RunConfig
from pipelines.errors import PlatformError
from pipelines.tracking.guard import prepare, warn
from pipelines.tracking.protocol import Pages

_LOOK_S = 1.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flows.ui", description=__doc__)
    parser.add_argument("overrides", nargs="*", help="of the configuration, e.g. tracker=[mlflow,tensorboard]")
    parser.add_argument("--port", type=int, default=0, help="of the first tracker's pages; 0: any free port")
    parser.add_argument("--prefect-port", type=int, default=0, help="0: any free port, or that of a running launch")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            addresses, programs = dict[str, str](), dict[str, subprocess.Popen[bytes]]()
            for pages in _pages(compose(options.overrides), options.port):
                programs[next(iter(pages.addresses))] = stack.enter_context(serving(pages))
                addresses |= pages.addresses
            prefect = stack.enter_context(prefect_server(options.prefect_port))
            addresses["Prefect"] = f"{prefect.removesuffix('/api')}/runs"
            for name, address in addresses.items():
                print(f"{name}: {address}")
            print("Ctrl-C ends them", flush=True)
            while all(program.poll() is None for program in programs.values()):
                time.sleep(_LOOK_S)  # until an interrupt, which is an exception
            ended = next(name for name, program in programs.items() if program.poll() is not None)
            print(f"error: {ended}'s server ended; is its port taken? ({addresses[ended]})", file=sys.stderr)
            return 1
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _pages(config: RunConfig, port: int) -> Iterator[Pages]:
    """Those of the trackers that have some and can be opened."""
    for settings in config.execution.trackers.chosen():
        if prepare([settings], "so there is no page of it"):
            continue
        try:
            pages = settings.pages(config.execution.runs, port or free_port())
        except Exception as error:
            warn(f"{settings.place} failed, so there is no page of it", error)
            continue
        if pages is not None:
            port = 0
            yield pages


@contextmanager
def serving(pages: Pages) -> Iterator[subprocess.Popen[bytes]]:
    """The program that serves them, which leads a session of its own and answers some seconds later."""
    with Path(os.devnull).open("wb") as nowhere:
        program = subprocess.Popen(
            pages.command,
            env={**os.environ, **pages.environment},
            stdout=nowhere,
            stderr=nowhere,
            start_new_session=True,
        )
    try:
        yield program
    finally:
        stop_process(program.pid)


if __name__ == "__main__":
    sys.exit(main())
