"""The verbs of the command line. Nothing heavy is imported before the verb that needs it.

    maestromotif run configs/quickstart.yaml train.steps=2000000

Exit status: 0 done, 2 a mistake that the user can fix (one line a mistake on stderr), 130 interrupted.
"""

import logging
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from maestromotif import __version__
from maestromotif.cli import look
from maestromotif.errors import UserError
from maestromotif.pipeline.stages import STAGES

if TYPE_CHECKING:
    from maestromotif.pipeline.runner import Stale
    from maestromotif.pipeline.store import Artefact


class Verbs(click.Group):
    """Lists the verbs in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="maestromotif %(version)s")
def cli() -> None:
    """NetHack agents from plain words.

    CONFIG is a YAML file; KEY=VALUE changes one setting of it, as in train.steps=1000.
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
        elif instead is None or not instead(config, overrides, stale, **further):
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


class Share(click.ParamType[tuple[int, int]]):
    """I/N: the I-th of N shares."""

    name = "I/N"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        i, _, n = str(value).partition("/")
        if not (i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
            self.fail(f"{value!r} is not like 1/4, the first of four shares", param, ctx)
        return int(i), int(n)


def _annotate_instead(
    config_file: str,
    overrides: tuple[str, ...],
    stale: "Stale | None",
    shard: tuple[int, int] | None,
    dry_run: bool,
) -> bool:
    if shard is None and not dry_run:
        return False
    from maestromotif.annotate import annotate
    from maestromotif.config.load import load
    from maestromotif.pipeline.runner import input_of, open_run

    config = load(config_file, overrides)
    _log_to_stderr()
    run = open_run(config, shlex.join((config_file, *overrides)))
    collected = input_of(config, "collect", run, stale=stale)
    if dry_run:
        click.echo(annotate.dry_run(config, collected))
    elif shard is not None:
        click.echo(annotate.answer_shard(config, collected, shard))
    return True


def _quality_instead(
    config_file: str, overrides: tuple[str, ...], stale: "Stale | None", again: bool
) -> bool:
    """Prints the figures and writes no artefact if there are no collected pairs, or with --again."""
    from maestromotif.config.load import load
    from maestromotif.pipeline.runner import input_of, open_run

    config = load(config_file, overrides)
    run = open_run(config, shlex.join((config_file, *overrides)))
    collected = (run.folder / "collect").is_dir()
    if collected and not again:
        return False
    from maestromotif.quality.figures import markdown
    from maestromotif.quality.quality import examine

    _log_to_stderr()
    pairs = input_of(config, "collect", run, stale=stale) if collected else None
    click.echo(markdown(examine(config, pairs, again)), nl=False)
    return True


def _train_instead(
    config_file: str,
    overrides: tuple[str, ...],
    stale: "Stale | None",
    coordinator: str | None,
    process: int | None,
) -> bool:
    """Connects several processes: the first one runs the stage, the others take part in it."""
    from maestromotif.config.load import load

    config = load(config_file, overrides)
    machines = config.train.machines
    if machines == 1 and (coordinator, process) != (None, None):
        raise UserError("--coordinator and --process are for several processes; set train.machines")
    from maestromotif.pipeline.runner import assist_stage, open_run
    from maestromotif.train.distributed import connect

    if connect(machines, coordinator, process) == 0:
        return False
    _log_to_stderr()
    assist_stage(config, "train", open_run(config, shlex.join((config_file, *overrides))), stale=stale)
    return True


def _run_until(
    config_file: str, overrides: tuple[str, ...], stale: "Stale | None", until: str | None
) -> bool:
    """Runs all stages. Prints their Markdown files if no report follows that shows them."""
    from maestromotif.config.load import load
    from maestromotif.pipeline.runner import open_run, run_all

    config = load(config_file, overrides)
    _log_to_stderr()
    run = open_run(config, shlex.join((config_file, *overrides)))
    made = run_all(config, run, until=until, stale=stale)
    if until is not None and until != "report":
        for artefact in made[:-1]:
            _print_pages(artefact)
    _print_result(made[-1])
    return True


def _report_instead(
    config_file: str, overrides: tuple[str, ...], stale: "Stale | None", live: bool, port: int
) -> bool:
    if live:
        look.serve_report(config_file, overrides, port)
    return live


_NAMES = [stage.name for stage in STAGES]
# Further options of a stage's verb, and the function that is given them.
_MORE: dict[str, tuple[tuple[click.Parameter, ...], Callable[..., bool]]] = {
    "annotate": (
        (
            click.Option(
                ["--shard"],
                type=Share(),
                help="Answer only the I-th of N shards, to use several machines.",
            ),
            click.Option(
                ["--dry-run"], is_flag=True, help="Print questions, tokens, time and money; ask nothing."
            ),
        ),
        _annotate_instead,
    ),
    "quality": (
        (
            click.Option(
                ["--again"],
                is_flag=True,
                help="Ask the gold set twice, to see whether the answers are the same.",
            ),
        ),
        _quality_instead,
    ),
    "train": (
        (
            click.Option(
                ["--coordinator"],
                metavar="HOST:PORT",
                help="Address of process 0, if train.machines > 1.",
            ),
            click.Option(["--process"], type=int, help="Number of this process, counted from 0."),
        ),
        _train_instead,
    ),
    "report": (
        (
            click.Option(
                ["--live"],
                is_flag=True,
                help="Serve the report of a run that goes on; CONFIG may be its folder.",
            ),
            click.Option(
                ["--port"], type=click.IntRange(0, 65535), default=8008, help="Of --live. Default: 8008."
            ),
        ),
        _report_instead,
    ),
}
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
    cli.add_command(_takes_config(_stage.name, _stage.help, *_MORE.get(_stage.name, ())))


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("verb", type=click.Choice(["run", *_NAMES]))
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--here", is_flag=True, help="Run as local processes, not as a cluster job, and wait.")
@click.option(
    "--stale",
    type=click.Choice(["reuse", "repeat"]),
    help="As for the verb itself.",
)
def slurm(verb: str, config: str, overrides: tuple[str, ...], here: bool, stale: str | None) -> None:
    """Queue a verb on a SLURM cluster, on train.machines machines."""
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
    _log_to_stderr()
    for line in judge_file(loaded, pairs):
        click.echo(line)


@cli.command()
@click.argument("config")
@click.argument("what", nargs=-1, metavar="[training|task|SKILL] [KEY=VALUE]...")
def prompt(config: str, what: tuple[str, ...]) -> None:
    """Print the prompt for a program, to give to a language model. Default: the task's program."""
    from maestromotif.compose import prompts
    from maestromotif.config.load import load

    named = bool(what) and "=" not in what[0]
    wanted = prompts.of(load(config, what[named:]), what[0] if named else "task")
    click.echo(wanted.text, nl=False)
    click.echo(prompts.instructions(wanted), err=True)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--agent", default="trained", show_default=True, help="Whose episode, as in the results.")
@click.option("--episode", "number", type=int, help="Its number, from 0. Without it: list the episodes.")
@click.option("--training", is_flag=True, help="Of the episodes kept from training, not the evaluated ones.")
@click.option("--stale", type=click.Choice(["reuse", "repeat"]), help="As for the stages: use older output.")
def replay(
    config: str,
    overrides: tuple[str, ...],
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
    _log_to_stderr()
    run = open_run(loaded, shlex.join((config, *overrides)))
    for line in replay_of_run(
        loaded,
        run.folder / "replays",
        lambda stage: input_of(loaded, stage, run, stale=stale),
        agent,
        number,
        training,
    ):
        click.echo(line)


@cli.command()
@click.argument("config", required=False)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
def doctor(config: str | None, overrides: tuple[str, ...]) -> None:
    """Say what is installed, what is missing and which command installs it."""
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
    _log_to_stderr()
    run = open_run(config, shlex.join((config_file, *overrides)))
    _print_result(run_stage(config, verb, run, stale=stale))


def _print_result(artefact: "Artefact") -> None:
    """Prints a stage's Markdown files and what its results say. The last line is the path of its output."""
    _print_pages(artefact)
    if said := artefact.manifest["facts"].get("summary"):
        click.echo(said)
    pages = [name for name in artefact.manifest["outputs"] if name.endswith(".html")]
    click.echo(artefact.path / pages[0] if pages else artefact.path)


def _print_pages(artefact: "Artefact") -> None:
    for name in artefact.manifest["outputs"]:
        if name.endswith(".md"):
            click.echo(f"# {artefact.path / name}\n\n{(artefact.path / name).read_text()}")


def _log_to_stderr() -> None:
    """Log lines on stderr, above the progress bar where there is one."""
    from tqdm import tqdm

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tqdm.write(self.format(record), file=sys.stderr)

    handler = Handler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("maestromotif")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def main() -> NoReturn:
    """The console script."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that worker processes are stopped too
    try:
        status = cli.main(prog_name="maestromotif", standalone_mode=False)
    except UserError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped; start the same command again to go on", err=True)
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)
