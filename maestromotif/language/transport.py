"""One attempt to send a request: the whole response, what may pass, or an error that stays."""

import asyncio
import errno
import os
import ssl
from dataclasses import dataclass

import httpx

from maestromotif.config.labels import LanguageSettings
from maestromotif.language.endpoint import Endpoint, client_options
from maestromotif.language.replies import UnusableError, is_json, retry_after
from maestromotif.language.tls import encrypted, not_trusted, speaks_tls

LARGEST = 16 << 20  # bytes of a reply; those to our questions have less than a million
PASSING = (408, 409, 425, 429)  # temporary errors, like every 5xx but 501, "not implemented"
COMPATIBLE = "Is this an OpenAI-compatible server?"

_WIRE = (b"content-encoding", b"content-length", b"transfer-encoding")  # of the bytes as they were sent


@dataclass
class Trouble:
    """What went wrong in one attempt, and what to do if it keeps happening."""

    what: str
    fix: str
    pause: float = 0.0  # seconds that the server asks us to wait
    passing: bool = True  # False: nobody is there who could answer soon


class Transport:
    """Raises UserError if the environment has certificates that cannot be used."""

    def __init__(self, endpoint: Endpoint, settings: LanguageSettings) -> None:
        self.endpoint = endpoint
        self._timeout = settings.timeout
        self._options = client_options(endpoint, settings)
        self._answers = False  # whether the server has sent any response

    def client(self) -> httpx.AsyncClient:
        """Connections to the server, for the length of one event loop."""
        return httpx.AsyncClient(**self._options)

    async def attempt(self, client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response | Trouble:
        """A response that a retry would not change, or what went wrong. Raises UserError if that stays."""
        said = self.endpoint.said
        try:
            async with asyncio.timeout(self._timeout):  # httpx's own restarts with every byte
                response = await _received(client, request)
        except UnusableError as error:
            return Trouble(str(error), COMPATIBLE)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout):
            return Trouble(
                f"no answer within {self._timeout:g} s",
                "Raise language.timeout, or lower language.concurrency.",
            )
        except httpx.InvalidURL as error:  # the client reads where a server sends it on to
            return Trouble(
                f"the server sends requests on to what is no address ({said(error)})",
                "Set language.url to the address that answers.",
            )
        except httpx.ProxyError as error:
            return self._of_proxy(said(error))
        except httpx.RequestError as error:
            of_system = _of_system(error)
            if isinstance(of_system, ssl.SSLError):
                raise not_trusted(self.endpoint, of_system) from None
            if of_system is not None and of_system.errno in (errno.EMFILE, errno.ENFILE):
                raise self.endpoint.error(
                    f"this command may open no more connections ({_words(of_system)}). Lower "
                    "language.concurrency, or raise the limit with: ulimit -n 4096"
                ) from None
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                start = f"Start one with: vllm serve {self.endpoint.model}  (or set language.url)"
                why = said(error) if of_system is None else _words(of_system)
                return Trouble(f"no server answers ({why})", start, passing=False)
            await self._check_encryption()
            return Trouble(f"the connection broke ({said(error)})", "Check the server's log.")
        status = response.status_code
        if status == 400 and not is_json(response):
            await self._check_encryption()
        self._answers = True
        if status == 407:
            return self._of_proxy("407")
        if status in PASSING or (status >= 500 and status != 501):
            fix = "Lower language.concurrency." if status == 429 else "Check the server's log."
            start = self.endpoint.start_of(response)
            return Trouble(f"status {status}: {start}", fix, retry_after(response))
        return response

    async def _check_encryption(self) -> None:
        """Raises UserError if the server speaks TLS at an http address. One that has answered does not."""
        if not self._answers and await speaks_tls(self.endpoint):
            raise encrypted(self.endpoint) from None

    def _of_proxy(self, says: str) -> Trouble:
        """What went wrong at the proxy. Raises UserError if it would not go right the next time."""
        if says.startswith("4"):  # a status, and 429 is the server's
            wants = (
                "wants a user and a password" if says.startswith("407") else "refuses the way to the server"
            )
            raise self.endpoint.error(f"the proxy {wants} ({says})")
        return Trouble(f"the proxy does not answer ({says})", "Check the proxy.", passing=False)


def _of_system(error: BaseException) -> OSError | None:
    """The error of TLS or of the operating system that a client's error comes from."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ssl.SSLError) or (isinstance(link, OSError) and link.errno):
            return link
        if isinstance(link, BaseExceptionGroup):  # one for each of a server's addresses
            link = link.exceptions[0]
        else:
            link = link.__cause__ or link.__context__
    return None


def _words(error: OSError) -> str:
    """What the system says; errors of names have negative numbers and their own words."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)


async def _received(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The whole response. Raises UnusableError if it has too many bytes, and the errors of the client."""
    response = await client.send(request, stream=True)
    try:
        parts, size = [], 0
        async for part in response.aiter_bytes():
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise UnusableError(f"the reply has more than {LARGEST >> 20} MiB")
    finally:
        await response.aclose()
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _WIRE]
    return httpx.Response(response.status_code, headers=headers, content=b"".join(parts), request=request)
