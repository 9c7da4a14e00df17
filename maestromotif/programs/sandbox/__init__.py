"""The sandbox in which programs over skills run; the rest of the package knows only what stands here."""

from maestromotif.programs.sandbox.monty import ProgramHost, type_check

__all__ = ["ProgramHost", "type_check"]
