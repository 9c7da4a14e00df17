"""What prompts tell of the language of programs is true of the sandbox."""

from pathlib import Path

import pytest

from maestromotif.errors import UserError
from maestromotif.programs import contract
from maestromotif.programs.sandbox import ProgramHost
from maestromotif.skill import load_all

SKILLS = load_all(Path(__file__).parents[2] / "skills", ["discoverer"])
PROGRAM = """
class Program:
    def select(self, state, available):
        return available[0]
"""


@pytest.mark.parametrize("lack", contract.LACKS)
def test_what_the_language_lacks_is_refused(lack: str) -> None:
    with pytest.raises(UserError):
        ProgramHost(contract.LACKS[lack] + PROGRAM, SKILLS, games=1, seed=0)


def test_every_module_can_be_imported() -> None:
    imports = "".join(f"import {module}\n" for module in contract.MODULES)
    ProgramHost(imports + PROGRAM, SKILLS, games=1, seed=0).close()
