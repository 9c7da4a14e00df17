"""Several processes that learn one policy: how they find each other."""

import jax

from maestromotif.errors import UserError


def connect(machines: int, coordinator: str | None, process: int | None) -> int:
    """Wait for the other processes of this run; returns this one's number, from 0.

    machines: how many there are. coordinator: "host:port" of the first one, on which all can reach it, and
    process: this one's number; both None where a cluster's own variables tell (SLURM, Open MPI, Kubernetes).
    Nothing may have been computed by JAX before. Raises UserError when they do not meet.
    """
    if machines == 1:
        return 0
    if (coordinator is None) != (process is None):
        raise UserError("--coordinator and --process belong together: HOST:PORT of process 0, and a number")
    if process is not None and not 0 <= process < machines:
        raise UserError(f"--process: is {process}, but there are {machines} (train.machines), from 0 on")
    try:
        if coordinator is None:
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(coordinator, machines, process)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"train.machines: is {machines}, but the processes did not meet: {error}; start each with "
            "'maestromotif train CONFIG --coordinator HOST:PORT --process N', or use 'maestromotif slurm'"
        ) from error
    if jax.process_count() != machines:
        raise UserError(f"train.machines: is {machines}, but {jax.process_count()} processes were started")
    return jax.process_index()
