"""Paths as users write them: `~` is a home folder, if there is one."""

from pathlib import Path

from maestromotif.errors import UserError


def expanded(path: str, setting: str) -> Path:
    """The path with `~` or `~name` replaced. Raises UserError if there is no such home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{setting}: {path}: there is no such home folder; write the path without '~', or set the "
            "environment variable HOME"
        ) from error


def home(instead: str) -> Path:
    """The user's home folder. Raises UserError without one; `instead`: the variable that can be set."""
    try:
        return Path.home()
    except RuntimeError as error:  # a container's user without an entry in /etc/passwd
        raise UserError(
            f"HOME: this user has no home folder; set the environment variable {instead}, or HOME, to a "
            "folder that can be written"
        ) from error
