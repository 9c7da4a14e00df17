"""A server on this machine that answers wandb's requests about views and runs, and keeps both."""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    def __init__(self, key: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key = key
        self.projects: set[str] = set()
        self.views: dict[str, dict[str, Any]] = {}  # by id, as they were sent
        self.rows: dict[str, list[dict[str, Any]]] = {}  # of each run, by its id

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        if "upsertView" in query:
            assert given["projectName"] in self.projects
            number = given.get("id") or f"view-{len(self.views)}"
            self.views[number] = given
            return {"upsertView": {"view": {"id": number, "name": given["name"]}, "inserted": True}}
        if "allViews" in query:
            if given["projectName"] not in self.projects:
                return {"project": None}
            found = [
                {"node": {"id": number, "displayName": one["displayName"], "spec": one["spec"]}}
                for number, one in self.views.items()
                if one["name"] == given["viewName"]
            ]
            return {"project": {"allViews": {"edges": found}}}
        if "upsertBucket" in query:
            self.rows.setdefault(given["name"], [])
            project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "me"}}
            bucket = {"id": "b", "name": given["name"], "displayName": "d", "historyLineCount": 0}
            return {"upsertBucket": {"bucket": bucket | {"project": project}, "inserted": True}}
        if "RunResumeStatus" in query:
            rows = self.rows.get(given["name"])
            return {"model": None if rows is None else {"id": "p", "bucket": _resumed(given["name"], rows)}}
        if "createRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.address}/upload"} for name in given["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if "upsertModel" in query:
            self.projects.add(given["input"]["name"])
            return {"upsertModel": {"project": {"name": given["input"]["name"]}, "inserted": True}}
        person = {
            "id": "u",
            "username": "me",
            "entity": "me",
            "flags": "{}",
            "admin": False,
            "email": "a@b.c",
        }
        return {"viewer": person | {"apiKeys": {"edges": []}, "teams": {"edges": []}}, "serverInfo": {}}


def _resumed(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the server knows of a run: its number of rows, and the last one."""
    texts = {"eventsTail": "[]", "summaryMetrics": "{}", "config": "{}", "wandbConfig": '{"t": 1}'}
    counts = {"historyLineCount": len(rows), "eventsLineCount": 0, "logLineCount": 0}
    tail = json.dumps([json.dumps(row) for row in rows[-1:]])
    return {"id": "b", "name": name, "displayName": "d", "tags": [], "historyTail": tail, **texts, **counts}


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send(200, {})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["content-length"] or 0))
        self._send(200, {})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
        login = base64.b64decode(self.headers["authorization"].split()[1]).decode()
        if login != f"api:{self.server.key}":
            self._send(401, {"errors": [{"message": "user is not logged in"}]})
        elif self.path.endswith("/file_stream"):
            if lines := asked.get("files", {}).get("wandb-history.jsonl"):
                rows = self.server.rows[self.path.split("/")[-2]]
                rows[lines["offset"] :] = [json.loads(line) for line in lines["content"]]
            self._send(200, {})
        else:
            self._send(200, {"data": self.server.answer(asked["query"], asked.get("variables") or {})})

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def running(key: str) -> Iterator[Server]:
    server = Server(key)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
