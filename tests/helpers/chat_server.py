"""A server of chat completions on this machine, which answers as a test says and keeps what it was asked."""

import contextlib
import http.server
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from maestromotif.language.model import Chat

MODEL = "some/model"
Reply = tuple[int, dict[str, str], bytes]  # status, headers, body


class Server(http.server.ThreadingHTTPServer):
    """Answers chat completions with what `answer` makes of a question, and remembers what it was asked."""

    request_queue_size = 64

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.answer: Callable[[dict[str, Any]], Reply] = good
        self.models: list[dict[str, Any]] | None = [{"id": MODEL, "owned_by": "vllm"}]
        self.refuses_get: Reply | None = None  # what it says in place of its models
        self.drips = False  # whether it sends bytes one by one
        self.connects = 501  # the status for a client that takes it for a proxy and asks for a way
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.server.refuses_get is not None:
            self.reply(self.server.refuses_get)
            return
        listed = self.path.endswith("/v1/models") and self.server.models is not None
        self.reply(json_reply({"data": self.server.models}) if listed else json_reply({}, 404))

    def do_CONNECT(self) -> None:
        self.reply((self.server.connects, {}, b""))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(body)
            self.server.keys.append(self.headers["Authorization"])
            self.server.under_way += 1
            self.server.most_under_way = max(self.server.most_under_way, self.server.under_way)
        found = self.path.endswith("/v1/chat/completions")
        reply = self.server.answer(body) if found else json_reply({}, 404)
        with self.server.lock:
            self.server.under_way -= 1
        self.reply(reply)

    def reply(self, reply: Reply) -> None:
        status, headers, content = reply
        try:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            while self.server.drips and content:
                self.wfile.write(content[:1])
                content = content[1:]
                time.sleep(0.1)
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # the client has gone: it waits no longer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent."""


def json_reply(content: Any, status: int = 200, **headers: str) -> Reply:
    return status, headers, json.dumps(content).encode()


def completion(text: str, **tokens: float) -> dict[str, Any]:
    top = [{"token": token.replace("_", " "), "logprob": math.log(share)} for token, share in tokens.items()]
    logprobs = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": top}]} if tokens else None
    return {"choices": [{"message": {"role": "assistant", "content": text}, "logprobs": logprobs}]}


def number(body: dict[str, Any]) -> int:
    return int(body["messages"][-1]["content"].split()[-1])


def good(body: dict[str, Any]) -> Reply:
    """Says Yes with a probability of the question's number in percent, half of it with a space before it."""
    share = number(body) / 100
    return json_reply(completion("Yes", Yes=share / 2, _Yes=share / 2, Yesterday=0.01, No=0.02))


def questions(count: int, start: int = 1) -> list[Chat]:
    return [[{"role": "user", "content": f"This is number {n}"}] for n in range(start, start + count)]


@contextlib.contextmanager
def serving(server: http.server.HTTPServer) -> Iterator[None]:
    """Runs a server in a thread."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
