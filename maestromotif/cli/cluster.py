"""Stages as jobs of a SLURM cluster, by submitit; a job that is preempted or out of time is queued again."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import submitit

from maestromotif.config.schema import Config
from maestromotif.errors import UserError

_FIRST_PORT, _PORTS = 20_000, 10_000


class Job:
    """One task of a job: a verb of the command line on one machine. It is pickled and sent there."""

    def __init__(self, verb: str, arguments: Sequence[str], machines: int) -> None:
        self._verb, self._arguments, self._machines = verb, list(arguments), machines

    def __call__(self) -> None:
        from maestromotif.cli.main import cli

        words = [self._verb, *self._arguments]
        if self._machines > 1:
            environment = submitit.JobEnvironment()
            # The same on all machines, and another for a job beside it on the first one.
            port = _FIRST_PORT + int("".join(filter(str.isdigit, environment.job_id))) % _PORTS
            words += ["--coordinator", f"{environment.hostnames[0]}:{port}"]
            words += ["--process", str(environment.global_rank)]
        cli.main(words, prog_name="maestromotif", standalone_mode=False)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Asked for by submitit when the job is about to be ended: the same again, which goes on."""
        return submitit.helpers.DelayedSubmission(self)


def submit(
    config: Config, verb: str, config_file: str, overrides: Sequence[str], here: bool = False
) -> submitit.Job[None]:
    """Queue a verb with this config. here: as processes of this machine instead, for a try.

    Raises UserError where there is no SLURM, or where it refuses.
    """
    if config.train.machines > 1 and verb != "train":
        raise UserError(
            f"train.machines: is {config.train.machines}, but only the stage train runs on several; do "
            f"what comes before with: maestromotif run {config_file} --until gate"
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
        return executor.submit(Job(verb, [config_file, *overrides], config.train.machines))
    except (RuntimeError, submitit.core.utils.FailedJobError) as error:
        raise UserError(f"slurm: the job was not queued: {error}") from error


def describe(job: "submitit.Job[None]") -> str:
    """What the user is told of a queued job."""
    return f"job {job.job_id}; its output: {shlex.quote(str(job.paths.stdout))}"
