"""How processes of games are started."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from maestromotif.nethack.pool.processes import start


class _Mode:
    """Travels to the process as the number 0o700; a signal comes meanwhile."""

    def __reduce__(self) -> tuple[Any, ...]:
        os.kill(os.getpid(), signal.SIGTERM)
        return int, ("448",)


def test_a_signal_while_a_process_is_started_comes_afterwards(tmp_path: Path) -> None:
    def came(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, came)
    try:
        with pytest.raises(KeyboardInterrupt):
            start(lambda context: context.Process(target=os.mkdir, args=(tmp_path / "made", _Mode())))
    finally:
        assert signal.signal(signal.SIGTERM, before) is came
    deadline = time.monotonic() + 30
    while not (tmp_path / "made").is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.05)
