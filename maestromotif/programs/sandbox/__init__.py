"""The sandbox in which programs over skills run.

`host` is the interface of a sandbox and `monty` the implementation in use. `worker` is its process, `types`
its type checker, `shim` and `inside` the code inside it. Other packages use only the names below. To add a
sandbox, add a module here and name it below.
"""

from maestromotif.programs.sandbox.host import CallEnd, Host
from maestromotif.programs.sandbox.monty import ProgramHost
from maestromotif.programs.sandbox.types import UNSUPPORTED, TypeCheckError, type_check

__all__ = ["UNSUPPORTED", "CallEnd", "Host", "ProgramHost", "TypeCheckError", "type_check"]
