"""The sandbox in which programs over skills run.

`host` says what a sandbox offers, `monty` is the one in use, `shim` and `inside` are the code inside it. The
rest of the package knows only the names below; another sandbox is a new module here, and named below.
"""

from maestromotif.programs.sandbox.host import Host
from maestromotif.programs.sandbox.monty import ProgramHost, type_check

__all__ = ["Host", "ProgramHost", "type_check"]
