"""The verb that writes a task as a folder for research agents."""

import os
from pathlib import Path

import click

from maestromotif.cli.look import SHIPPED


@click.command("export-task")
@click.argument("task")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="The folder to write.")
@click.option(
    "--run",
    default=SHIPPED,
    type=click.Path(path_type=Path),
    help="Whose policy plays: a run, checkpoint or policy. Default: the one of the repository.",
)
@click.option(
    "--episodes",
    type=click.IntRange(0),
    default=32,
    show_default=True,
    help="Of each baseline; 0 leaves their scores out.",
)
@click.option("--starter", type=click.Path(path_type=Path), help="The program to begin with.")
@click.option("--max-steps", type=click.IntRange(1), help="Steps of an episode. Default: as in the run.")
def export_task(
    task: str, to: Path, run: Path, episodes: int, starter: Path | None, max_steps: int | None
) -> None:
    """Write "a better program for TASK" as a folder for research agents.

    It has a description, a starter, an evaluator and scores of baselines.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # as the evaluator
    from maestromotif.evaluate.export import export

    click.echo(export(run, task, to, episodes, starter, max_steps))
