"""Options of single stages that do something else than run the stage, such as `annotate --dry-run`."""

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from maestromotif.cli import look
from maestromotif.cli.output import log_to_stderr, print_pages, print_result
from maestromotif.errors import UserError

if TYPE_CHECKING:
    from maestromotif.pipeline.runner import Stale


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
    log_to_stderr()
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

    log_to_stderr()
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
    log_to_stderr()
    assist_stage(config, "train", open_run(config, shlex.join((config_file, *overrides))), stale=stale)
    return True


def _evaluate_instead(config_file: str, overrides: tuple[str, ...], stale: "Stale | None") -> bool:
    """With a given policy nothing has to be trained: does what is missing, and the report too."""
    from maestromotif.config.load import load
    from maestromotif.pipeline.runner import open_run, run_all

    config = load(config_file, overrides)
    if config.train.policy is None:
        return False
    log_to_stderr()
    run = open_run(config, shlex.join((config_file, *overrides)))
    *_, evaluated, report = run_all(config, run, stale=stale)
    print_pages(evaluated)
    print_result(report)
    return True


def _report_instead(
    config_file: str, overrides: tuple[str, ...], stale: "Stale | None", live: bool, port: int
) -> bool:
    if live:
        look.serve_report(config_file, overrides, port)
    return live


# Further options of a stage's verb, and the function that is given them.
OPTIONS: dict[str, tuple[tuple[click.Parameter, ...], Callable[..., bool]]] = {
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
    "evaluate": ((), _evaluate_instead),
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
