"""A PostgreSQL server of a test's own, from Debian's packages, in a temporary folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.windows.prefect_server import free_port

BIN = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
_AS_USER = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []


def why_not() -> str:
    """Why there can be no server here; "" when there can."""
    if BIN is None:
        return "no PostgreSQL here: apt-get install postgresql"
    may = subprocess.run([*_AS_USER, "sh", "-c", ": > /dev/null"], capture_output=True, text=True, check=False)
    return "" if may.returncode == 0 else f"PostgreSQL cannot be run here: {may.stderr.strip()}"


@contextmanager
def postgres() -> Iterator[str]:
    """Yields the URI of an empty database. The server refuses to be root, so root lends it Debian's user ``postgres``; its
    folder is directly in the system's temporary folder, for pytest closes its own to all but root."""
    assert BIN is not None
    data, port = Path(tempfile.mkdtemp(prefix="empg-postgres-")), free_port()
    if _AS_USER:
        shutil.chown(data, "postgres")

    def run(*command: str) -> None:
        done = subprocess.run([*_AS_USER, *command], cwd=data, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        run(f"{BIN}/initdb", "-D", str(data), "-A", "trust", "-U", "empg", "--no-sync")
        run(f"{BIN}/pg_ctl", "-D", str(data), "-o", options, "-l", str(data / "log"), "-w", "start")
        try:
            yield f"postgresql://empg@127.0.0.1:{port}/postgres"
        finally:
            run(f"{BIN}/pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(data)
