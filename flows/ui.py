"""``make ui``: the pages of Prefect and of the trackers, of this folder's runs, on loopback only, until Ctrl-C.

They have ports in a row, from --port on (`make ui PORT=9000`): a page of links, the trackers, Prefect. What is printed answers.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from flows.configure.compose import compose
from flows.exits import end_as_interrupted, exit_code, leave
from flows.windows.prefect_server import prefect_server, stop_process
from flows.windows.start_page import is_link, path_of, start_page
from pipelines.config import RunConfig
from pipelines.errors import ConfigError, ServerDead
from pipelines.tracking.guard import prepare, warn
from pipelines.tracking.protocol import Pages

PORT = 8420
_LOOK_S = 1.0
_PATIENCE_S = 120.0

Programs = Mapping[str, subprocess.Popen[bytes]]


@exit_code
def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    end_as_interrupted()
    config, start = compose(options.overrides), f"http://127.0.0.1:{options.port}"
    check_free(options.port)
    print("starting the pages, which takes some seconds", file=sys.stderr, flush=True)
    try:
        with ExitStack() as stack:
            served, programs = list[Pages](), dict[str, subprocess.Popen[bytes]]()
            for pages, known in _pages(config, options.port + 1):
                programs[next(iter(known))] = stack.enter_context(serving(pages))
                served.append(pages)
            prefect = stack.enter_context(prefect_server(options.port + 1 + len(programs)))
            looks = Looks(served, f"{prefect.removesuffix('/api')}/runs")
            known = looks.addresses()
            wait_for(known, programs)
            stack.enter_context(start_page(options.port, looks.addresses))
            _show(start, known)
            while True:
                check_alive(programs, known)
                time.sleep(_LOOK_S)  # until an interrupt, which is an exception
    except KeyboardInterrupt:
        return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flows.ui", description=__doc__)
    parser.add_argument("overrides", nargs="*", help="of the configuration, e.g. tracker=[mlflow,tensorboard]")
    parser.add_argument(
        "--port", type=int, default=PORT, help=f"of the page of links, default {PORT}; the others follow"
    )
    return parser.parse_args(arguments)


class Looks:
    """What there is to open, by name, as it is at each look."""

    def __init__(self, served: Sequence[Pages], prefect: str) -> None:
        self._served, self._prefect = served, prefect
        self._known: list[Mapping[str, str]] = [{} for _ in served]

    def addresses(self) -> dict[str, str]:
        for place, pages in enumerate(self._served):
            with suppress(Exception):  # a database that is locked for a moment: what was known stays
                self._known[place] = pages.addresses()
        return {name: address for known in self._known for name, address in known.items()} | {"Prefect": self._prefect}


def _pages(config: RunConfig, port: int) -> Iterator[tuple[Pages, Mapping[str, str]]]:
    """Those of the trackers that have some and can be opened, from ``port`` on, with their addresses now."""
    for settings in config.execution.trackers.chosen():
        if prepare([settings], "so there is no page of it"):
            continue
        check_free(port)
        try:
            pages = settings.pages(config.execution.runs, port)
            known = pages.addresses() if pages is not None else {}
        except Exception as error:
            warn(f"{settings.place} failed, so there is no page of it", error)
            continue
        if pages is not None:
            port += 1
            yield pages, known


def check_free(port: int) -> None:
    """Raises ConfigError: something else answers there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise ConfigError(f"port {port} cannot be used ({error}): make ui PORT=<another> (--port)") from None


def wait_for(addresses: Mapping[str, str], programs: Programs) -> None:
    """Until every page answers. Raises ServerDead: one does not, or its program has ended."""
    deadline = time.monotonic() + _PATIENCE_S
    for name, address in addresses.items():
        while is_link(address) and not answers(address):
            check_alive(programs, addresses)
            if time.monotonic() > deadline:
                raise ServerDead(
                    f"{name} does not answer at {address}: stop what is left of an earlier one, or choose --port"
                )
            time.sleep(0.2)


def answers(address: str) -> bool:
    import httpx

    try:
        return httpx.get(address.partition("#")[0], timeout=5.0).status_code < 500
    except httpx.HTTPError:
        return False


def check_alive(programs: Programs, addresses: Mapping[str, str]) -> None:
    """Raises ServerDead: a program has ended."""
    for name, program in programs.items():
        if program.poll() is not None:
            raise ServerDead(f"{name}'s server ended; is its port taken? ({addresses[name]})")


def _show(start: str, addresses: Mapping[str, str]) -> None:
    for name, address in addresses.items():
        print(f"{name}: {f'{start}{path_of(name)}' if is_link(address) else address}")
    print(f"all of them, also of launches to come: {start}/")
    served = [start, *(address for address in addresses.values() if is_link(address))]
    ports = sorted({urlsplit(address).port or 80 for address in served})
    forwarded = " ".join(f"-L {port}:127.0.0.1:{port}" for port in ports)
    print(f"from elsewhere: ssh -N {forwarded} {socket.gethostname()}\nCtrl-C ends them", flush=True)


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
    leave(main())
