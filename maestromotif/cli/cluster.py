"""Stages as jobs of a SLURM cluster, by submitit; a job that is preempted or out of time is queued again."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import submitit

from maestromotif.config.schema import Config
from maestromotif.errors import UserError

Runner = Callable[[Sequence[str]], None]

_FIRST_PORT, _PORTS = 20_000, 10_000


class Job:
    """One task of a job: words of the command line on one machine. It is pickled and sent there."""

    def __init__(self, run: Runner, words: Sequence[str], machines: int) -> None:
        self._run, self._words, self._machines = run, list(words), machines

    def __call__(self) -> None:
        words = [*self._words]
        if self._machines > 1:
            environment = submitit.JobEnvironment()
            # The same on all machines, and another for a job beside it on the first one.
            port = _FIRST_PORT + int("".join(filter(str.isdigit, environment.job_id))) % _PORTS
            words += ["--coordinator", f"{environment.hostnames[0]}:{port}"]
            words += ["--process", str(environment.global_rank)]
        self._run(words)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Asked for by submitit when the job is about to be ended: the same again, which goes on."""
        return submitit.helpers.DelayedSubmission(self)


def submit(
    run: Runner, config: Config, verb: str, words: Sequence[str], here: bool = False
) -> submitit.Job[None]:
    """Queue a verb with this config.

    run: what the job calls with the words of its command line. It is sent by name, so it must be a function
    of a module. words: config file, overrides and options. here: as processes of this machine instead, for a
    try.

    Raises UserError where there is no SLURM, or where it refuses.
    """
    if config.train.machines > 1 and verb != "train":
        raise UserError(
            f"train.machines: is {config.train.machines}, but only the stage train runs on several; do "
            f"what comes before with: maestromotif run {shlex.join(words)} --until gate"
        )
    folder = Path(config.run.root) / config.run.name / ".slurm"
    settings = config.slurm
    try:
        executor = submitit.AutoExecutor(folder, cluster="local" if here else "slurm")
        executor.update_parameters(
            name=f"maestromotif-{config.run.name}",
            nodes=1 if here else config.train.machines,
            tasks_per_node=config.train.machines if here else 1,
            timeout_min=settings.minutes,
            cpus_per_task=settings.cores,
            gpus_per_node=0 if here else settings.gpus,
            mem_gb=settings.memory_gb,
            slurm_partition=settings.partition,
            slurm_additional_parameters=settings.parameters,
        )
        return executor.submit(Job(run, [verb, *words], config.train.machines))
    except (RuntimeError, submitit.core.utils.FailedJobError) as error:
        raise UserError(f"slurm: the job was not queued: {error}") from error


def describe(job: "submitit.Job[None]") -> str:
    """What the user is told of a queued job."""
    return f"job {job.job_id}; its output: {shlex.quote(str(job.paths.stdout))}"
