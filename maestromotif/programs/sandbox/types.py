"""The type check of a program. It reads the program and runs none of it."""

import contextlib
import json
from typing import Any

import pydantic_monty as monty

from maestromotif.programs.sandbox.worker import Worker, drop

# Monty runs what it has checked. This first line suspends the run before it begins.
_STOP = "stop_here()\n"
_STUB = "def stop_here() -> None: ...\n"


class TypeCheckError(Exception):
    """The type checker found no answer: it took too long, or its process ended."""


def type_check(source: str, stubs: str, seconds: float = 10.0) -> list[dict[str, Any]]:
    """The type checker's errors (ty's JSON records: code, message, location {row, column}) in `source`.

    seconds: until the checker is stopped. Raises TypeCheckError if it has not finished by then, or fails.
    """
    worker = Worker(seconds, stubs=stubs + _STUB)
    with contextlib.closing(worker):
        try:
            worker.session.feed_start(_STOP + source, print_callback=drop, external_lookup={})
        except monty.MontyTypingError as error:
            found = [record for record in json.loads(error.display()) if record["severity"] == "error"]
            for record in found:
                record["location"]["row"] -= _STOP.count("\n")
            return found
        except monty.MontyCrashedError as error:
            timed_out = error.timed_out
            raise TypeCheckError("took too long" if timed_out else "needed too much memory") from error
        except monty.MontyError:
            return []  # the types are right; what Monty's parser refuses is found when the program is run
    return []
