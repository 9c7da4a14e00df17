"""Options of single stages that do something else than run the stage, such as `annotate --dry-run`."""

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
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
        if not (i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
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


def _compose_instead(
    config_file: str, overrides: tuple[str, ...], stale: "Stale | None", with_config: Path, **further: Any
) -> bool:
    """Seeks a program for a task, if the first word is a task in place of a config."""
    from maestromotif.compose.fixed_task import folder_name, is_task

    if not is_task(config_file):
        if not Path(config_file).exists() and overrides and "=" not in overrides[0]:
            words = shlex.quote(" ".join((config_file, *overrides)))
            raise UserError(f"compose: put a task in words in quotes: maestromotif compose {words}")
        given = [f"--{name}" for name, value in further.items() if value not in (None, (), _COMPOSE[name])]
        if given:
            raise UserError(
                f"compose: {config_file!r} is taken for a config, and {', '.join(given)} needs a task: words "
                'in quotes, such as "go down to level 3", or a file tasks/NAME.md'
            )
        return False
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the same games on every machine
    from maestromotif.compose.budget import Budget
    from maestromotif.compose.sentence import Plan, compose
    from maestromotif.config.load import load

    loaded = load(str(with_config), overrides)
    log_to_stderr()
    minutes = further["minutes"]
    budget = Budget(
        candidates=further["candidates"],
        calls=further["calls"],
        steps=further["steps"],
        seconds=None if minutes is None else 60 * minutes,
    )
    plan = Plan(
        further["search"], further["by"], budget, further["games"], further["episode_steps"], further["final"]
    )
    folder = further["output"] or Path(loaded.run.root, "compose", folder_name(config_file))
    click.echo(compose(loaded, config_file, folder, plan, further["success"]))
    click.echo(folder)
    return True


# Defaults of the options of `compose`.
_COMPOSE: dict[str, Any] = {
    "success": (),
    "search": "greedy",
    "by": "tables",
    "candidates": 40,
    "calls": None,
    "steps": None,
    "minutes": None,
    "games": 32,
    "final": None,
    "episode_steps": 2_000,
    "output": None,
}


def _compose_option(name: str, metavar: str, says: str, multiple: bool = False) -> click.Option:
    default = _COMPOSE[name]
    kind: Any = {"N": click.IntRange(1), "FOLDER": click.Path(path_type=Path)}.get(metavar, str)
    told = (
        f" Default: {default:,}." if isinstance(default, int) else f" Default: {default}." if default else ""
    )
    return click.Option(
        [f"--{name.replace('_', '-')}"],
        default=default,
        type=kind,
        metavar=metavar,
        multiple=multiple,
        help=says + told,
    )


class _Named(click.Option):
    """An option of `compose` that takes a name of a table. says: the table's names and what they mean.

    The table is read only when the help is shown, because importing its module takes long.
    """

    def __init__(self, name: str, metavar: str, says: Callable[[], Mapping[str, str]]) -> None:
        super().__init__([f"--{name}"], default=_COMPOSE[name], metavar=metavar)
        self._says = says

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        told = "; ".join(f"{name}: {doc}" for name, doc in self._says().items())
        self.help = f"{told}. Default: {self.default}."
        return super().get_help_record(ctx)


def _searches() -> dict[str, str]:
    from maestromotif.compose.searches import SEARCHES

    return {name: one.doc for name, one in SEARCHES.items()}


def _writings() -> dict[str, str]:
    from maestromotif.compose.draft import WRITINGS

    return {name: one.doc.replace("; ", ", ") for name, one in WRITINGS.items()}


# Further paragraphs of the help of a stage's verb.
ABOUT: dict[str, tuple[str, ...]] = {
    "compose": (
        "With a task in place of CONFIG, which is words in quotes or a file tasks/NAME.md: let a language "
        "model write a program for it, try it in games, and search for a better one. All options from "
        "--config on are for this.",
    ),
    "evaluate": (
        "If CONFIG names a policy (train.policy), nothing is trained: what else is missing is done, and the "
        "report is written. The folder of a policy, such as policies/trained/six_skills, is such a CONFIG.",
    ),
    "quality": ("Without collected observations it prints what can be measured, and writes nothing.",),
}

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
    "compose": (
        (
            click.Option(
                ["--config", "with_config"],
                default=look.SHIPPED,
                type=click.Path(path_type=Path),
                help="The config, or the folder of a run, whose skills and policy carry out the task. "
                "Default: the policy of the repository.",
            ),
            _compose_option(
                "success", "CONDITION", "Done when this is true; several: one after the other.", True
            ),
            _Named("search", "NAME", _searches),
            _Named("by", "HOW", _writings),
            _compose_option("candidates", "N", "Most programs to try."),
            _compose_option("calls", "N", "Most answers of the language model."),
            _compose_option("steps", "N", "Most game steps of the search."),
            _compose_option("minutes", "N", "Most minutes of the search."),
            _compose_option("games", "N", "Games of the best candidates."),
            _compose_option("final", "N", "Games that measure the result. Default: as --games."),
            _compose_option("episode_steps", "N", "Steps of an episode of a task in words."),
            _compose_option("output", "FOLDER", "Default: runs/compose/ and the task's first words."),
        ),
        _compose_instead,
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
