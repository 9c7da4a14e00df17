"""The type check of a program. It reads the program and runs none of it."""

import contextlib
import json
from typing import Any

import pydantic_monty as monty

from maestromotif.programs.sandbox.worker import Worker, drop

UNSUPPORTED = "unsupported"  # the code of a record for Python that Monty's parser refuses
# Monty runs what it has checked. This first line suspends the run before it begins.
_STOP = "stop_here()\n"
_STUB = "def stop_here() -> None: ...\n"


class TypeCheckError(Exception):
    """The type checker found no answer: it took too long, or needed too much memory."""


def type_check(source: str, stubs: str, seconds: float = 10.0) -> list[dict[str, Any]]:
    """The type checker's errors (ty's JSON records: code, message, location {row, column}) in `source`.

    What Monty's parser refuses is such a record too.
    seconds: until the checker is stopped. Raises TypeCheckError if it has not finished by then, or fails.
    """
    worker = Worker(seconds, stubs=stubs + _STUB, grace=0.0)
    with contextlib.closing(worker):
        try:
            worker.session.feed_start(_STOP + source, print_callback=drop, external_lookup={})
        except monty.MontyTypingError as error:
            found = [record for record in json.loads(error.display()) if record["severity"] == "error"]
            for record in found:
                record["location"]["row"] -= _STOP.count("\n")
            return found
        except monty.MontyCrashedError as error:
            raise TypeCheckError("took too long" if error.timed_out else "ended too early") from error
        except (monty.MontyRuntimeError, monty.MontySyntaxError) as error:
            if isinstance(error.exception(), MemoryError):
                raise TypeCheckError("needed too much memory") from error
            frames = error.traceback()
            at = (
                {"row": frames[-1].line - 1, "column": frames[-1].column}
                if frames
                else {"row": 1, "column": 1}
            )
            return [{"code": UNSUPPORTED, "message": str(error.exception()), "location": at}]
    return []
