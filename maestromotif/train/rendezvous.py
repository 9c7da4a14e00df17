r"""Where the processes of one run meet before JAX connects them.

JAX's own connection cannot say what is wrong: on a port that is taken it crashes, and when a process does not
come it waits for five minutes, takes no signal, and aborts. So the processes first meet on the same port by
plain sockets. When all are there, the port is free again for JAX.

    process N -> process 0    "maestromotif MACHINES N\n"
    process 0 -> process N    "go\n", or what is wrong
"""

import contextlib
import errno
import socket
import time

from maestromotif.errors import UserError

WAIT = 300.0  # seconds for all to come
PAUSE = 0.2  # seconds between two tries to reach process 0
HELLO = "maestromotif"
LONGEST = 500  # characters of a line


def parse(coordinator: str) -> tuple[str, int]:
    """(host, port) of "HOST:PORT"; the host may be "[::1]". Raises UserError."""
    host, _, port = coordinator.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    right = port.isascii() and port.isdigit() and 0 < int(port) < 2**16
    if not right or not host.strip("[]") or "/" in host or (":" in host and not bracketed):
        raise UserError(
            f"--coordinator: should be HOST:PORT of process 0, such as 10.0.0.1:18777 (got {coordinator!r})"
        )
    return host.strip("[]"), int(port)


def meet(coordinator: str, machines: int, process: int, seconds: float = WAIT) -> None:
    """Waits until all processes of the run are there.

    Raises UserError if they do not come within `seconds`, and if the port is taken or cannot be reached.
    """
    host, port = parse(coordinator)
    until = time.monotonic() + seconds
    if process == 0:
        _wait_for_others(port, machines, until, seconds)
    else:
        _join(host, port, machines, process, until, seconds)


def _wait_for_others(port: int, machines: int, until: float, seconds: float) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(port))
        there: dict[int, socket.socket] = {}
        while len(there) < machines - 1:
            listener.settimeout(max(until - time.monotonic(), 0.01))
            try:
                peer = stack.enter_context(listener.accept()[0])
            except TimeoutError:
                missing = sorted(set(range(1, machines)) - set(there))
                raise UserError(
                    f"train.machines: is {machines}, but of the other processes "
                    f"{', '.join(map(str, missing))} did not come to port {port} within {seconds:g} s; start "
                    "each with the same command, its own --process and the same --coordinator"
                ) from None
            number = _welcome(peer, machines, there)
            if number is not None:
                there[number] = peer
        for peer in there.values():
            with contextlib.suppress(OSError):
                peer.sendall(b"go\n")
                peer.recv(1)  # it closes first, so that the port is free at once


def _welcome(peer: socket.socket, machines: int, there: dict[int, socket.socket]) -> int | None:
    """The number of a process that has come; None for anything else, which is told what is wrong."""
    words = _line(peer, 5.0).split()
    if len(words) != 3 or words[0] != HELLO or not all(word.isdigit() for word in words[1:]):
        return None
    others, number = int(words[1]), int(words[2])
    wrong = ""
    if others != machines:
        wrong = f"train.machines: is {others} here and {machines} in process 0; it should be the same"
    elif number in there:
        if _gone(there[number]):  # it was killed and has been started again
            return number
        wrong = f"--process: {number} is there already; each process has a number of its own"
    if wrong:
        with contextlib.suppress(OSError):
            peer.sendall(f"{wrong}\n".encode())
        return None
    return number


def _gone(peer: socket.socket) -> bool:
    peer.settimeout(0.0)
    try:
        return peer.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        with contextlib.suppress(OSError):
            peer.settimeout(5.0)


def _join(host: str, port: int, machines: int, process: int, until: float, seconds: float) -> None:
    why = "nothing listens there"
    while time.monotonic() < until:
        try:
            with socket.create_connection(
                (host, port), timeout=max(until - time.monotonic(), 0.01)
            ) as to_first:
                to_first.sendall(f"{HELLO} {machines} {process}\n".encode())
                said = _line(to_first, max(until - time.monotonic(), 0.01))
        except socket.gaierror as error:
            raise UserError(f"--coordinator: no machine is called {host} ({error.strerror})") from error
        except OSError as error:
            why = error.strerror or "no answer"
        else:
            if said == "go":
                return
            if said.startswith(("train.machines: ", "--process: ")):
                raise UserError(said)
            why = "what listens there is no process of this run, or has ended"
        time.sleep(PAUSE)
    raise UserError(
        f"--coordinator: process 0 was not at {host}:{port} within {seconds:g} s: {why}; start it with the "
        "same command and --process 0"
    )


def _listen(port: int) -> socket.socket:
    """Listens on all addresses of this machine, as JAX will."""
    both = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            ("", port),
            family=socket.AF_INET6 if both else socket.AF_INET,
            dualstack_ipv6=both,
            backlog=1024,
        )
    except OSError as error:
        why = {errno.EADDRINUSE: "is taken on this machine", errno.EACCES: "is reserved for the system"}
        says = why.get(error.errno or 0, f"cannot be used: {error.strerror}")
        raise UserError(
            f"--coordinator: port {port} {says}; choose another, the same for all processes"
        ) from error


def _line(peer: socket.socket, seconds: float) -> str:
    """What a peer says up to a line end; "" if that does not come."""
    until, said = time.monotonic() + seconds, b""
    with contextlib.suppress(OSError):
        while b"\n" not in said and len(said) < LONGEST:
            peer.settimeout(max(until - time.monotonic(), 0.001))
            more = peer.recv(LONGEST)
            if not more:
                return ""
            said += more
    return said.partition(b"\n")[0].decode(errors="replace") if b"\n" in said else ""
