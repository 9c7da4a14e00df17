"""The verbs of the command line. Nothing heavy is imported before the verb that needs it.

    maestromotif run configs/quickstart.yaml train.steps=2000000

Exit status: 0 done, 1 `doctor` or `check` found something wrong, 2 a mistake that the user can fix (one line
a mistake on stderr), 128 and the number of the signal that ended it (130: Ctrl-C).
"""

import contextlib
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from maestromotif import __version__
from maestromotif.cli import look
from maestromotif.cli.check import check
from maestromotif.cli.export import export_task
from maestromotif.cli.options import ABOUT, OPTIONS
from maestromotif.cli.output import log_to_stderr, output_refused, print_pages, print_result, tolerate
from maestromotif.cli.stop import Stop
from maestromotif.devices import check_devices
from maestromotif.errors import UserError
from maestromotif.pipeline.refused import in_words
from maestromotif.pipeline.stages import STAGES

if TYPE_CHECKING:
    from maestromotif.pipeline.runner import Stale
    from maestromotif.tasks.generate import Split


WITHOUT_JAX = ("collect", "annotate", "quality", "report")  # stages that compute nothing with it


class Verbs(click.Group):
    """Lists the verbs in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="maestromotif %(version)s")
def cli() -> None:
    """NetHack agents from plain words.

    CONFIG is a YAML file, or a folder with a config.yaml, such as a run's. KEY=VALUE changes one setting of
    it, as in train.steps=1000.
    """


def _takes_config(
    verb: str, says: str, options: Sequence[click.Parameter] = (), instead: Callable[..., bool] | None = None
) -> click.Command:
    """The command of a verb that takes a config.

    instead: is given the config as the user wrote it, what to do with stale work and the values of further
    `options`; returns whether it has done what they ask for instead of the stage.
    """

    def command(
        config: str, overrides: tuple[str, ...], print_config: bool, stale: "Stale | None", **further: Any
    ) -> None:
        if print_config:
            from maestromotif.config.load import dump, load

            click.echo(dump(load(config, overrides)), nl=False)
            return
        if verb not in WITHOUT_JAX:
            check_devices()
        if instead is None or not instead(config, overrides, stale, **further):
            _run(verb, config, overrides, stale)

    return click.Command(
        verb,
        callback=command,
        help=says,
        params=[
            click.Argument(["config"]),
            click.Argument(["overrides"], nargs=-1, metavar="[KEY=VALUE]..."),
            click.Option(
                ["--print-config"], is_flag=True, help="Print the whole config and do nothing else."
            ),
            _stale_option(),
            *options,
        ],
        # so that --train.steps=1000 reaches the config, which says how to write it
        context_settings={"ignore_unknown_options": True},
    )


def _stale_option() -> click.Option:
    return click.Option(
        ["--stale"],
        type=click.Choice(["reuse", "repeat"]),
        help="For stages whose code has changed since: reuse their output, or repeat them.",
    )


def _run_until(
    config_file: str, overrides: tuple[str, ...], stale: "Stale | None", until: str | None
) -> bool:
    """Runs all stages. Prints their Markdown files if no report follows that shows them."""
    from maestromotif.config.load import load
    from maestromotif.pipeline.runner import open_run, run_all

    config = load(config_file, overrides)
    log_to_stderr()
    run = open_run(config, shlex.join((config_file, *overrides)))
    made = run_all(config, run, until=until, stale=stale)
    if until is not None and until != "report":
        for artefact in made[:-1]:
            print_pages(artefact)
    print_result(made[-1])
    return True


_NAMES = [stage.name for stage in STAGES]
_until = click.Option(["--until"], type=click.Choice(_NAMES), help="The last stage to do.")
cli.add_command(
    _takes_config(
        "run",
        "Run every stage that is not done yet; `run.further` adds optional ones.",
        (_until,),
        _run_until,
    )
)
for _stage in STAGES:
    _says = "\n\n".join((_stage.help, *ABOUT.get(_stage.name, ())))
    cli.add_command(_takes_config(_stage.name, _says, *OPTIONS.get(_stage.name, ())))


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("verb", type=click.Choice(["run", *_NAMES]), metavar="VERB")
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--here", is_flag=True, help="Run as local processes, not as a cluster job, and wait.")
@click.option(
    "--stale",
    type=click.Choice(["reuse", "repeat"]),
    help="As for the verb itself.",
)
def slurm(verb: str, config: str, overrides: tuple[str, ...], here: bool, stale: str | None) -> None:
    """Queue a verb on a SLURM cluster, on train.machines machines.

    VERB is `run` or a stage. The section `slurm` of CONFIG says what a job asks of the cluster.
    """
    from maestromotif.config.load import load

    try:
        from maestromotif.cli.cluster import describe, submit
    except ModuleNotFoundError as error:
        raise UserError(
            "slurm: submitit is not installed; install it with: pip install 'maestromotif[slurm]'"
        ) from error
    words = [config, *overrides, *(["--stale", stale] if stale else [])]
    job = submit(run_words, load(config, overrides), verb, words, here)
    click.echo(describe(job))
    if here:
        job.results()


cli.add_command(look.dashboard)
cli.add_command(look.watch)
cli.add_command(look.compare)
cli.add_command(export_task)
cli.add_command(check)


@cli.command()
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--pairs", required=True, type=click.Path(path_type=Path), help="JSON lines with {skill, a, b}."
)
def judge(config: str, overrides: tuple[str, ...], pairs: Path) -> None:
    """Judge pairs of captions from a file, as the stage annotate judges its own."""
    from maestromotif.annotate.judge import judge_file
    from maestromotif.config.load import load

    loaded = load(config, overrides)
    log_to_stderr()
    for line in judge_file(loaded, pairs):
        click.echo(line)


@cli.command()
@click.argument("config")
@click.argument("what", nargs=-1, metavar="[training|TASK|SKILL] [KEY=VALUE]...")
def prompt(config: str, what: tuple[str, ...]) -> None:
    """Print the prompt for a program, to give to a language model. Default: the first task's program."""
    from maestromotif.compose import prompts
    from maestromotif.config.load import load

    named = bool(what) and "=" not in what[0]
    settings = load(config, what[named:])
    wanted = prompts.of(settings, what[0] if named else settings.tasks[0])
    click.echo(wanted.text, nl=False)
    click.echo(prompts.instructions(wanted), err=True)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--task", help="Of which task; default: the config's first.")
@click.option("--agent", default="trained", show_default=True, help="Whose episode, as in the results.")
@click.option("--episode", "number", type=int, help="Its number, from 0. Without it: list the episodes.")
@click.option("--training", is_flag=True, help="Of the episodes kept from training, not the evaluated ones.")
@click.option("--stale", type=click.Choice(["reuse", "repeat"]), help="As for the stages: use older output.")
def replay(
    config: str,
    overrides: tuple[str, ...],
    task: str | None,
    agent: str,
    number: int | None,
    training: bool,
    stale: "Stale | None",
) -> None:
    """Play a kept episode again and write it as a page and an asciicast."""
    from maestromotif.config.load import load
    from maestromotif.pipeline.runner import input_of, open_run
    from maestromotif.report.one_replay import replay_of_run

    loaded = load(config, overrides)
    log_to_stderr()
    run = open_run(loaded, shlex.join((config, *overrides)))
    for line in replay_of_run(
        loaded,
        run.folder / "replays",
        lambda stage: input_of(loaded, stage, run, stale=stale),
        loaded.tasks[0] if task is None else task,
        agent,
        number,
        training,
    ):
        click.echo(line)


@cli.command()
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("--count", type=click.IntRange(1), default=200, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draws.")
@click.option(
    "--split", type=click.Choice(["train", "test"]), default="train", show_default=True, help="Of the tasks."
)
@click.option("--program", default="policies/training.py", show_default=True, help="The tasks' program.")
def tasks(folder: Path, count: int, seed: int, split: "Split", program: str) -> None:
    """Write generated tasks, and an index of them as JSON lines."""
    from maestromotif.tasks.generate import INDEX, generate, write

    made = generate(count, seed, split)
    write(made, folder, program)
    click.echo(f"{len(made):,} tasks of the split '{split}' in {folder}; their index is {folder / INDEX}")


@cli.command()
@click.argument("config", required=False)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
def doctor(config: str | None, overrides: tuple[str, ...]) -> None:
    """Say what is installed, what is missing and which command installs it.

    With CONFIG: also what its stages would refuse on this machine. Exit status 1: something is wrong.
    """
    from maestromotif.cli.doctor import examine

    sys.exit(examine(config, overrides))


def run_words(words: Sequence[str]) -> None:
    """Runs a command line given as words. Raises errors instead of printing them."""
    cli.main(list(words), prog_name="maestromotif", standalone_mode=False)


def _run(verb: str, config_file: str, overrides: tuple[str, ...], stale: "Stale | None") -> None:
    """Runs one stage."""
    from maestromotif.config.load import load
    from maestromotif.pipeline.runner import open_run, run_stage

    config = load(config_file, overrides)
    log_to_stderr()
    run = open_run(config, shlex.join((config_file, *overrides)))
    print_result(run_stage(config, verb, run, stale=stale))


def main() -> NoReturn:
    """The console script."""
    stop = Stop()
    tolerate()
    try:
        status = cli.main(prog_name="maestromotif", standalone_mode=False)
    except BaseException as error:
        stop.taken()
        if stop.number or isinstance(error, (KeyboardInterrupt, click.Abort)):
            with contextlib.suppress(OSError):
                click.echo("stopped; start the same command again to go on", err=True)
            sys.exit(128 + (stop.number or signal.SIGINT))
        refused = error if isinstance(error, UserError) else output_refused(error) or in_words(error)
        if refused is not None:
            with contextlib.suppress(OSError):  # the errors may go to the same full disk
                click.echo(str(refused), err=True)
            sys.exit(2)
        if isinstance(error, click.ClickException):
            error.show()
            sys.exit(error.exit_code)
        raise
    stop.over()
    if stop.number not in (0, signal.SIGINT):  # a command without an end, such as `watch`, has taken its end
        sys.exit(128 + stop.number)
    sys.exit(status if isinstance(status, int) else 0)
