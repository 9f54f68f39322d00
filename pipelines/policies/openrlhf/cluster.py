"""Ray: join the one that runs, or start one here; places for the processes; waiting for them without hanging."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from empg.checks import NonFiniteError
from pipelines.errors import ConfigError, NonFiniteLoss, PlatformError, WorkerDied
from pipelines.policies.openrlhf.cluster_config import ClusterConfig
from pipelines.policies.openrlhf.patches import WITHOUT_GPU

if TYPE_CHECKING:
    from ray.util.placement_group import PlacementGroup

_ROOT = Path(__file__).parents[3]
_PATIENCE_S = 300  # for places on a cluster that others use too
_LAST_LINES = 12
_KEEP_VISIBLE = "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"  # a process that booked no GPU sees them all the same
_users = 0  # policies of this process that share its Ray


def join(cluster: ClusterConfig) -> None:
    """Connect this process to the Ray of the settings.

    Raises:
        ConfigError: nobody answers there, or a Ray or Python of another version does.
    """
    global _users
    import ray

    if not ray.is_initialized():
        os.environ.setdefault(_KEEP_VISIBLE, "0")  # as it will be; else it warns
        address = cluster.ray_address or os.environ.get("RAY_ADDRESS") or None
        settings: dict[str, Any] = {
            "log_to_driver": False,
            "logging_level": "ERROR",
            "runtime_env": {"env_vars": _environment(cluster)},
        }
        if address is None:
            os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own 15 would let everything else go first
            settings |= {"address": "local", "include_dashboard": False}  # never one that happens to run here
            if cluster.device == "cpu":
                settings["num_gpus"] = 0
        else:
            _check_answers(address)
            settings["address"] = address
        try:
            ray.init(**settings)
        except Exception as error:  # Ray raises every kind
            where = f"the Ray at {address}" if address else "a Ray on this machine"
            raise ConfigError(
                f"{where} cannot be used ({_last_line(error)}): start one with this Python (ray start --head) and set "
                "policy.cluster.ray_address=<host:port>, or leave it null to have one started; on a busy machine, which Ray gives 30 "
                "seconds, launch again later"
            ) from None
    _users += 1


def leave() -> None:
    """The last policy of the process that leaves stops the Ray that was started here, or its connection."""
    global _users
    import ray

    _users -= 1
    if _users == 0 and ray.is_initialized():
        ray.shutdown()


def _environment(cluster: ClusterConfig) -> dict[str, str]:
    """Of every process that Ray starts for us."""
    values = {
        "PYTHONPATH": os.pathsep.join(p for p in (str(_ROOT), os.environ.get("PYTHONPATH", "")) if p),
        "TOKENIZERS_PARALLELISM": "false",
        _KEEP_VISIBLE: "0",
        "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",  # weights are handed to vLLM's workers as functions' arguments
    }
    if cluster.device == "cpu":
        values |= WITHOUT_GPU | {"OMP_NUM_THREADS": "1"}
    return values


def _check_answers(address: str) -> None:
    """Ray itself would try for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        return  # auto
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Ray answers at {address} ({error}): start it there (ray start --head --port=…), or correct "
            "policy.cluster.ray_address or $RAY_ADDRESS"
        ) from None


def places(cluster: ClusterConfig) -> PlacementGroup:
    """A place per GPU (per rank and engine without one), held for us alone.

    Raises:
        ConfigError: Ray has not got them.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    one = {"GPU": 1.0, "CPU": 1.0} if cluster.device == "cuda" else {"CPU": 0.01}
    wanted = [one] * cluster.gpus
    group = placement_group(wanted, strategy="PACK")
    try:
        ray.get(group.ready(), timeout=_PATIENCE_S)
    except ray.exceptions.GetTimeoutError:
        remove_placement_group(group)
        free = ", ".join(f"{n:g} {what}" for what, n in ray.available_resources().items() if what in ("CPU", "GPU"))
        raise ConfigError(
            f"Ray has no room for {len(wanted)} × {one} within {_PATIENCE_S} s (free now: {free or 'nothing'}): wait "
            "for its other jobs, or lower policy.cluster.nodes and gpus_per_node"
        ) from None
    return group


def by_node(group: PlacementGroup, size: int) -> list[int]:
    """The places' numbers, those of a node side by side: an engine spans ``size`` neighbours.

    Raises:
        ConfigError: a node has a part of an engine.
    """
    from ray.util import placement_group_table

    nodes: dict[str, list[int]] = {}
    for place, node in placement_group_table(group)["bundles_to_node_id"].items():
        nodes.setdefault(node, []).append(int(place))
    if split := [node for node, held in nodes.items() if len(held) % size]:
        raise ConfigError(
            f"Ray gave {len(nodes[split[0]])} places on one node, which engines of {size} GPUs do not fill: wait until whole "
            "nodes are free, or lower policy.cluster.tensor_parallel"
        )
    return [place for node in nodes.values() for place in sorted(node)]


def gather(refs: Sequence[Any], logs: Sequence[str]) -> list[Any]:
    """The results in order. The first failure ends the wait: the others may wait for who failed.

    Args:
        logs: of the process behind each ref, the file that holds its last words.

    Raises:
        WorkerDied: a process is gone. Whatever a process raised.
    """
    import ray

    left = list(refs)
    while left:
        done, left = ray.wait(left, num_returns=1)
        for ref in done:
            result(ref, logs[refs.index(ref)])
    return [ray.get(ref) for ref in refs]


def result(ref: Any, log: str) -> Any:
    """Raises as ``gather`` does."""
    import ray

    try:
        return ray.get(ref)
    except (ray.exceptions.RayError, OSError) as error:
        raise translated(error, log) from error


def translated(error: BaseException, log: str) -> BaseException:
    """What Ray raised as what it means: our own error that a process raised, or its death with its last words."""
    import ray

    if isinstance(error, ray.exceptions.RayTaskError):
        return _raised(error.cause, log)
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return WorkerDied(
            "Ray ended a process because its machine's memory was nearly full; what was finished stays: end what else runs there, or "
            "lower policy.cluster.gpus_per_node or training.micro_batch_tokens, and launch again to continue"
        )
    return WorkerDied(
        f"a Ray process died ({type(error).__name__}); what was finished stays: launch again to continue. Its last words:\n"
        f"{last_words(log)}"
    )


def _raised(cause: BaseException, log: str) -> PlatformError:
    if isinstance(cause, PlatformError):
        return cause
    what = f"{type(cause).__name__}: {_last_line(cause)}"
    if isinstance(cause, FloatingPointError | NonFiniteError):
        return NonFiniteLoss(
            f"an update or score is not finite ({what}); the last checkpoint stays. Lower training.learning_rate or "
            "training.clip_norm, then launch again"
        )
    memory = (
        ""
        if "OutOfMemory" not in what
        else (
            " Lower training.micro_batch_tokens, policy.cluster.logits_chunk_tokens or memory_fraction, or see plan=true."
        )
    )
    return WorkerDied(
        f"a Ray process failed ({what}); what was finished stays: launch again to continue.{memory} Its traceback: {log}"
    )


def last_words(log: str) -> str:
    try:
        lines = [
            line for line in Path(log).read_text(errors="replace").splitlines() if line.strip() and "it/s" not in line
        ]
    except OSError:
        lines = []
    return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:]) or f"  none here: see {log} on its node"


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
