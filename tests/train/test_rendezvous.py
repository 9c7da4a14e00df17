"""Processes that meet, and what they are told when they do not: real sockets, and the real command line."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import tiny
from small_learning import CONFIG

from maestromotif.errors import UserError
from maestromotif.train.rendezvous import meet, parse


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def test_addresses() -> None:
    assert parse("10.0.0.1:18777") == ("10.0.0.1", 18777)
    assert parse("[2001:db8::1]:18777") == ("2001:db8::1", 18777)
    assert parse("node-3.cluster:1") == ("node-3.cluster", 1)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        ":18777",
        "a:0",
        "a:65536",
        "a:-1",
        "http://a:1",
        "::1:5",
        "a:١",
    ],
)
def test_what_is_no_address(wrong: str) -> None:
    with pytest.raises(UserError, match="--coordinator: should be HOST:PORT"):
        parse(wrong)


def test_all_meet_and_the_port_is_free_again_at_once(port: int) -> None:
    for _ in range(2):
        with ThreadPoolExecutor(3) as pool:
            done = [pool.submit(meet, f"127.0.0.1:{port}", 3, process, 20.0) for process in (2, 1, 0)]
            for one in done:
                one.result()
        with socket.create_server(("", port)):
            pass


def test_a_partner_that_does_not_come(port: int) -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match=rf"processes 1, 2 did not come to port {port} within 0.3 s"):
        meet(f"127.0.0.1:{port}", 3, 0, 0.3)
    with pytest.raises(UserError, match=rf"process 0 was not at 127.0.0.1:{port} within 0.3 s"):
        meet(f"127.0.0.1:{port}", 3, 1, 0.3)
    assert time.monotonic() - began < 5


def test_something_else_listens(taken: int) -> None:
    with pytest.raises(UserError, match=rf"port {taken} is taken on this machine; choose another"):
        meet(f"127.0.0.1:{taken}", 2, 0, 5.0)
    with pytest.raises(UserError, match=rf"process 0 was not at 127.0.0.1:{taken} within 0.3 s"):
        meet(f"127.0.0.1:{taken}", 2, 1, 0.3)


def test_a_machine_that_nobody_knows() -> None:
    with pytest.raises(UserError, match=r"no machine is called nobody\.invalid"):
        meet("nobody.invalid:18777", 2, 1, 5.0)


def test_others_that_come_do_no_harm(port: int) -> None:
    """Another run's process, one whose number is taken, a stranger, and one that was killed meanwhile."""
    first = threading.Thread(target=meet, args=(f"127.0.0.1:{port}", 3, 0, 30.0))
    first.start()
    with pytest.raises(UserError, match=r"train\.machines: is 2 here and 3 in process 0"):
        meet(f"127.0.0.1:{port}", 2, 1, 10.0)
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with socket.create_connection(("127.0.0.1", port)) as killed:
        killed.sendall(b"maestromotif 3 1\n")
        time.sleep(0.2)
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(meet, f"127.0.0.1:{port}", 3, 1, 20.0)
        time.sleep(1)
        with pytest.raises(UserError, match="--process: 1 is there already"):
            meet(f"127.0.0.1:{port}", 3, 1, 10.0)
        meet(f"127.0.0.1:{port}", 3, 2, 10.0)
        again.result()
    first.join()


def test_the_command_line_ends_at_once_when_it_is_told_to(tmp_path: os.PathLike[str], port: int) -> None:
    path = tmp_path / "small.yaml"  # type: ignore[operator]
    path.write_text(CONFIG)
    command = [
        sys.executable,
        "-m",
        "maestromotif",
        "train",
        str(path),
        "train.machines=2",
        "nethack.games=4",
    ]
    command += ["--coordinator", f"127.0.0.1:{port}", "--process", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=tiny.environment(PYTHONPATH=str(tiny.ROOT))) as process:
        until = time.monotonic() + 180
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert time.monotonic() - began < 45  # it would wait for its partner for minutes
