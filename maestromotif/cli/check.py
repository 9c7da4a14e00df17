"""The verb that says whether programs over skills, and programs of skills, may run."""

import sys
from pathlib import Path
from typing import Any

import click

SIX_SKILLS = "configs/six_skills.yaml"  # of the repository


class _Seconds(click.FloatRange):
    """A number in the range. click lets NaN pass, of which nothing is less or greater."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        return number if number == number else self.fail(f"{value} is not a number", param, ctx)


@click.command()
@click.argument("programs", nargs=-1, required=True, metavar="PROGRAM.py...", type=click.Path(path_type=Path))
@click.option(
    "--config", default=SIX_SKILLS, show_default=True, help="Whose skills the programs choose among."
)
@click.option(
    "--limit",
    type=_Seconds(min=0.1, max=3600),
    default=10,
    show_default=True,
    help="Seconds for each program; what takes longer is refused.",
)
def check(programs: tuple[Path, ...], config: str, limit: float) -> None:
    """Check programs over skills, and skills' programs (may_start, should_end), without a run.

    Each is read, type-checked and played in the sandbox on simulated games. Exit status 1: one is refused.
    """
    from maestromotif.config.load import load
    from maestromotif.errors import UserError
    from maestromotif.programs import contract
    from maestromotif.programs.check import file_problems
    from maestromotif.programs.problems import printable
    from maestromotif.skill import skills_of

    loaded = load(config)
    skills = skills_of(loaded)
    refused = False
    for path in programs:
        try:
            if path.suffix != ".py" and path.is_file():
                raise UserError(f"{path}: not a Python file; its name must end in .py")
            source = contract.read(path, limit)
        except (UserError, OSError) as error:
            click.echo(printable(str(error)))
            refused = True
            continue
        what, found = file_problems(source, str(path), skills, loaded.run.seed, limit)
        for problem in found:
            click.echo(str(problem))
        if not found:
            click.echo(printable(f"{path}: accepted, as {what}"))
        refused |= bool(found)
    sys.exit(int(refused))
