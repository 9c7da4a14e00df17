"""Several processes that train one policy: connecting them, their devices, what they sum and gather."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import multihost_utils

from maestromotif import devices
from maestromotif.config.learning import TrainSettings
from maestromotif.errors import UserError
from maestromotif.train.rendezvous import meet

PROXIES = ("grpc_proxy", "http_proxy", "https_proxy", "all_proxy")


def connect(machines: int, coordinator: str | None, process: int | None) -> int:
    """Waits for the other processes of this run; returns this process's number, from 0.

    machines: how many there are. coordinator: "host:port" of process 0, reachable by all. process: this
    process's number. Both are None on a cluster whose variables JAX reads (SLURM, Open MPI, Kubernetes).
    Call it before any JAX computation. Raises UserError if the processes do not connect.
    """
    if machines == 1:
        return 0
    if (coordinator is None) != (process is None):
        raise UserError(
            "--coordinator and --process: give both or neither: HOST:PORT of process 0, and a number"
        )
    if process is not None and not 0 <= process < machines:
        raise UserError(
            f"--process: is {process}, but there are {machines} (train.machines), numbered from 0"
        )
    if coordinator is not None and process is not None:
        meet(coordinator, machines, process)
    # JAX would take SIGTERM for itself, to save and go on; here it ends the process, which saves by itself.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        with ended_by_signals(), without_proxies():
            jax.distributed.initialize(coordinator, machines if coordinator else None, process)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"train.machines: is {machines}, but the processes did not connect: {error}; start each with "
            "'maestromotif train CONFIG --coordinator HOST:PORT --process N', or use 'maestromotif slurm'"
        ) from error
    if jax.process_count() != machines:
        raise UserError(f"train.machines: is {machines}, but {jax.process_count()} processes were started")
    return jax.process_index()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the process at once. Python's own handlers do not run while JAX waits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def without_proxies() -> Iterator[None]:
    """JAX's connection would go through a cluster's proxy, which does not pass it on, and wait for ever."""
    proxies = {name: os.environ[name] for name in list(os.environ) if name.lower() in PROXIES}
    for name in proxies:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(proxies)


def wait_for_all(settings: TrainSettings, where: str) -> None:
    """Wait until every process of the run reaches this barrier; `where` is its unique name."""
    if settings.machines > 1:
        multihost_utils.sync_global_devices(where)


def local_devices(settings: TrainSettings, games: int) -> list[jax.Device]:
    """The devices that this process uses; `games` is the number of this process's games.

    Raises UserError if there are too few, or if games and actors cannot be divided evenly.
    """
    here: list[jax.Device] = devices.local_devices()
    if settings.devices > len(here):
        raise UserError(f"train.devices: is {settings.devices}, but JAX sees {len(here)} here ({here[0]})")
    if jax.process_count() != settings.machines:
        raise UserError(
            f"train.machines: is {settings.machines}, but {jax.process_count()} processes are connected; "
            "see 'maestromotif train --help' for how to start them"
        )
    if settings.actors % settings.devices:
        raise UserError(
            f"train.actors: {settings.actors} is not a multiple of train.devices, {settings.devices}"
        )
    for what, number in (
        ("train.actors", settings.actors),
        ("train.devices x train.minibatches", settings.devices * settings.minibatches),
    ):
        if games % number:
            raise UserError(f"nethack.games: {games} games cannot be divided evenly by {what}, {number}")
    return here[: settings.devices]


def all_devices(settings: TrainSettings) -> list[jax.Device]:
    """The devices that the run uses, process by process, the same number of each."""
    by_process = [
        [device for device in jax.devices() if device.process_index == process]
        for process in range(jax.process_count())
    ]
    return [device for devices in by_process for device in devices[: settings.devices]]


def summed(counts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sums of arrays over all processes; names and shapes must be the same in each."""
    if jax.process_count() == 1:
        return dict(counts)
    flat = np.concatenate([np.ravel(array) for array in counts.values()])
    total = np.asarray(multihost_utils.process_allgather(flat)).sum(0)
    cuts = np.cumsum([array.size for array in counts.values()])[:-1]
    parts = zip(counts.items(), np.split(total, cuts), strict=True)
    return {name: part.reshape(array.shape) for (name, array), part in parts}


def gathered(part: bytes) -> list[bytes]:
    """The parts of all processes, in their order."""
    if jax.process_count() == 1:
        return [part]
    sizes = np.asarray(multihost_utils.process_allgather(np.array([len(part)]))).reshape(-1)
    padded = np.zeros(int(sizes.max()), np.uint8)
    padded[: len(part)] = np.frombuffer(part, np.uint8)
    parts = np.asarray(multihost_utils.process_allgather(padded)).reshape(len(sizes), -1)
    return [row[:size].tobytes() for row, size in zip(parts, sizes.tolist(), strict=True)]
