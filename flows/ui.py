"""``make ui``: the MLflow and Prefect pages of this folder's runs, on loopback only, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from flows.windows.prefect_server import free_port, prefect_server, stop_process
from pipelines.errors import PlatformError
from pipelines.tracking.guard import prepare, warn
from pipelines.tracking.mlflow import MlflowSettings
from pipelines.tracking.mlflow.comparison import last_comparison
from pipelines.tracking.mlflow.database import ARTIFACTS, Database


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flows.ui", description=__doc__)
    parser.add_argument("--tracking-uri", default=MlflowSettings().uri, help="of MLflow: execution.trackers.mlflow.uri")
    parser.add_argument("--mlflow-port", type=int, default=0, help="0: any free port")
    parser.add_argument("--prefect-port", type=int, default=0, help="0: any free port, or that of a running launch")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    mlflow: subprocess.Popen[bytes] | None = None
    try:
        port = options.mlflow_port or free_port()
        if not prepare([MlflowSettings(uri=options.tracking_uri)], "so there is no page of it, but Prefect's"):
            mlflow = start_mlflow(options.tracking_uri, port)
        with prefect_server(options.prefect_port) as address:
            if mlflow is not None:
                print(f"MLflow:  http://127.0.0.1:{port}/?workflowType=machine_learning")
                _print_comparison(options.tracking_uri, f"http://127.0.0.1:{port}")
            print(f"Prefect: {address.removesuffix('/api')}/runs")
            print("Ctrl-C ends both" if mlflow else "Ctrl-C ends it", flush=True)
            while mlflow is None:
                signal.pause()  # until an interrupt, which is an exception
            mlflow.wait()
            print(f"error: MLflow's server ended; is port {port} taken?", file=sys.stderr)
            return 1
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        if mlflow is not None:
            stop_process(mlflow.pid)


def _print_comparison(uri: str, base: str) -> None:
    try:
        print(f"compare: {last_comparison(Database(uri).client, base) or 'no launch of many yet'}")
    except Exception as error:
        warn(f"MLflow at {uri} failed, the comparison's address is not known", error)


def start_mlflow(uri: str, port: int) -> subprocess.Popen[bytes]:
    """MLflow's server, which leads a session of its own; it answers some seconds later."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", str(ARTIFACTS)]
    # The address, which may hold a password, is no argument: every user of the machine sees those.
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_BACKEND_STORE_URI": uri}
    with Path(os.devnull).open("wb") as nowhere:
        return subprocess.Popen(command, env=environment, stdout=nowhere, stderr=nowhere, start_new_session=True)


if __name__ == "__main__":
    sys.exit(main())
