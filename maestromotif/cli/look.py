"""The verbs that show runs: a dashboard in Weights & Biases, the agent at play, runs side by side."""

import contextlib
import os
import shlex
import sys
from pathlib import Path

import click

SHIPPED = Path("policies/trained/six_skills")  # relative to the repository, as the paths in its config are


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--print", "only_print", is_flag=True, help="Write the workspace as JSON and save nothing.")
def dashboard(config: str, overrides: tuple[str, ...], only_print: bool) -> None:
    """Save the dashboard of a config's runs to Weights & Biases, or update it."""
    from maestromotif.config.load import load
    from maestromotif.pipeline.runner import stages_of
    from maestromotif.tracking import workspace

    loaded = load(config, overrides)
    logged = {stage.name: stage.logged() for stage in stages_of(loaded)}
    config_file = shlex.join((config, *overrides))
    if only_print:
        click.echo(workspace.text(loaded, config_file, logged), nl=False)
    else:
        click.echo(workspace.save(loaded, config_file, logged))


@click.command()
@click.argument("target", metavar="[RUN|CHECKPOINT|POLICY]", type=click.Path(path_type=Path), default=SHIPPED)
@click.option("--fps", type=click.FloatRange(0.1, 100), default=8, help="Steps a second. Default: 8.")
@click.option("--episodes", type=click.IntRange(1), help="Stop after so many. Default: go on until Ctrl-C.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Seed of the games. Default: the run's.")
@click.option("--training", is_flag=True, help="Play as in training: under its program and in its dungeons.")
def watch(target: Path, fps: float, episodes: int | None, seed: int | None, training: bool) -> None:
    """Play the newest policy of a run in the terminal, also while it trains.

    Without a run: the trained policy that comes with the repository.
    """
    # A training on this machine's accelerator needs its memory; one game needs none.
    os.environ["JAX_PLATFORMS"] = "cpu"
    from maestromotif.evaluate.live import check_terminal, show
    from maestromotif.evaluate.run_folder import RunFolder
    from maestromotif.evaluate.watch import play

    check_terminal(sys.stdout)
    run = RunFolder(target)
    with contextlib.closing(play(run, seed, training)) as played, contextlib.suppress(KeyboardInterrupt):
        show(played, run.config.skills, sys.stdout, fps, episodes)


@click.command()
@click.argument("runs", nargs=-1, metavar="RUN RUN [RUN]...", type=click.Path(path_type=Path))
@click.option(
    "--to",
    default="comparison.html",
    type=click.Path(path_type=Path),
    show_default=True,
    help="Where to write it.",
)
def compare(runs: tuple[Path, ...], to: Path) -> None:
    """Show finished runs side by side, such as a config's seeds, and what differs in their configs."""
    from maestromotif.report.compare import write

    write(runs, to)
    click.echo(to)


def serve_report(config_or_folder: str, overrides: tuple[str, ...], port: int) -> None:
    """Serve the live report of a run, given by its config or its folder, until Ctrl-C."""
    from maestromotif.config.load import load
    from maestromotif.pipeline.runner import open_run

    folder = Path(config_or_folder)
    if not folder.is_dir():
        folder = open_run(load(config_or_folder, overrides)).folder
    from maestromotif.report.live import serve  # takes long

    with serve(folder, port) as server, contextlib.suppress(KeyboardInterrupt):
        click.echo(f"http://127.0.0.1:{server.server_port} shows {folder}; Ctrl-C ends it")
        server.serve_forever()
