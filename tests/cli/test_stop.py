"""Signals that end a command, in real processes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maestromotif.cli.stop import PATIENCE

PROCESS = """
import contextlib, gc, sys, time
from importlib.machinery import ExtensionFileLoader
from maestromotif.cli.stop import Stop

class Slow:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(1)

def collected(phase, info):
    if phase == "start":
        print("ready", flush=True)
        time.sleep(1)

class Spec:
    origin = "/none.so"

    asked = False

    @property
    def name(self):  # C code asks for it while it imports, more than once
        try:
            if not self.asked:
                print("ready", flush=True)
                self.asked = True
            time.sleep(1)
        except BaseException:
            print("interrupted")
        return "none"

stop = Stop()
try:
    if sys.argv[1] == "import":
        with contextlib.suppress(ImportError):
            ExtensionFileLoader("none", "/none.so").create_module(Spec())
    elif sys.argv[1] == "collector":
        gc.callbacks.append(collected)
        gc.collect()
        gc.callbacks.clear()
    elif sys.argv[1] == "caught":
        try:
            print("ready", flush=True)
            time.sleep(60)
        except BaseException:
            pass
    elif sys.argv[1] == "finalizer":
        slow = Slow()
        del slow
    else:
        print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped by", stop.number, flush=True)
    time.sleep(float(sys.argv[2]))  # as long as it takes to close
    print("closed")
"""


@pytest.mark.parametrize(
    ("place", "number", "closing"),
    [
        ("collector", signal.SIGTERM, 1),
        ("collector", signal.SIGINT, 1),
        ("finalizer", signal.SIGHUP, 1),
        ("caught", signal.SIGTERM, 1),
        ("import", signal.SIGTERM, 1),
        ("import", signal.SIGINT, 1),
        ("code", signal.SIGTERM, 3 * PATIENCE),
    ],
)
def test_no_signal_is_lost_wherever_it_comes(place: str, number: signal.Signals, closing: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, place, str(closing)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(number)
    if number != signal.SIGINT:  # a second one does not disturb what is being closed
        time.sleep(0.5)
        process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert output == f"stopped by {number.value}\nclosed\n"
    assert not errors


MODULE = """
import sys
from maestromotif.cli.stop import Stop

stop = Stop()
try:
    exec("import time; print('ready', flush=True); time.sleep(60)")
except KeyboardInterrupt:
    sys.exit(128 + stop.number)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_status_is_that_of_the_signal_inside_executed_text_too(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "command.py").write_text(MODULE)
    process = subprocess.Popen(
        [sys.executable, "-m", "command"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 128 + number
