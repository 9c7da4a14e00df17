"""A headless Chromium, driven over the DevTools protocol on a pair of pipes: no port, no extra package.

    with Browser(folder) as page:
        page.open(path)
        page.evaluate("document.title")
        page.problems, page.requests

Protocol: https://chromedevtools.github.io/devtools-protocol/ (over pipes: JSON, ended by a NUL each).
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # A mouse, which a headless browser does not have: pages ask whether there is one.
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
    "--remote-debugging-pipe",
)

# Chromium reads commands from descriptor 3 and writes to 4: puts the two pipes there and becomes it.
_WITH_PIPES = """
import os, sys
pipes = [os.dup(int(number)) for number in sys.argv[1:3]]
for pipe, wanted in zip(pipes, (3, 4)):
    os.dup2(pipe, wanted)
    os.set_inheritable(wanted, True)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One page. What went wrong in it is in `problems`, every address that it asked for in `requests`."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 900) -> None:
        assert CHROMIUM is not None
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._last_id = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._buffer = b""
        commands, self._write = os.pipe()
        self._read, events = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WITH_PIPES, str(commands), str(events), CHROMIUM, *FLAGS,
             f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{height}", "about:blank"],
            pass_fds=(commands, events),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(events)
        try:
            self._session: str | None = None
            targets = self.call("Target.getTargets")["targetInfos"]
            page = next(target["targetId"] for target in targets if target["type"] == "page")
            self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._write)  # Chromium ends when its pipe does
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)

    def open(self, path: Path) -> None:
        self.call("Page.navigate", url=path.absolute().as_uri())

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 20.0) -> None:
        """Until the expression is true; AssertionError with the page's problems if it does not become so."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"not true in {seconds} s: {expression}; problems: {self.problems}"
            time.sleep(0.05)

    def resize(self, width: int, height: int) -> None:
        """Sets the size of the view; below 600 pixels it is a phone with a touch screen, and stays one."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        if width < 600:
            self.call("Emulation.setTouchEmulationEnabled", enabled=True)

    def dark(self, on: bool) -> None:
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path, whole: bool = True) -> None:
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 30
        while self._last_id not in self._answers:
            self._receive(max(0.0, end - time.monotonic()))
        answer = self._answers.pop(self._last_id)
        assert "error" not in answer, (method, answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def _receive(self, seconds: float) -> None:
        ready, _, _ = select.select([self._read], [], [], seconds)
        assert ready, "Chromium does not answer"
        block = os.read(self._read, 1 << 20)
        assert block, f"Chromium has ended with status {self._process.poll()}"
        *messages, self._buffer = (self._buffer + block).split(b"\0")
        for text in messages:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self._event(message["method"], message["params"])

    def _event(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(f"exception: {params['exceptionDetails']}")
        elif method == "Log.entryAdded":
            self.problems.append(f"{params['entry']['level']}: {params['entry']['text']}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append(f"console.{params['type']}: {params['args']}")
