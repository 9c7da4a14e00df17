"""A language model behind an OpenAI-compatible server: `vllm serve`, llama.cpp's server, and others.

Up to `language.concurrency` requests run at once; answers are returned in the order asked. Temporary errors
are retried with exponential backoff: no connection, too many requests (429), server errors (5xx), timeouts,
incomplete replies. Permanent errors (400, 401, 404, redirects, certificates) are not retried. The first
request that fails for good ends the call. Callers save their answers chunk by chunk, so they lose one call's
answers.

The same questions may give different bits, because servers batch requests as they arrive.
"""

import asyncio
import contextlib
import logging
import random
import shlex
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import numpy as np
from jaxtyping import Float64

from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import Finding, UserError
from maestromotif.language import presets
from maestromotif.language.connection import (
    Proxy,
    api_key,
    bare_address,
    certificates,
    proxy_for,
    without_key,
)
from maestromotif.language.hub import identity
from maestromotif.language.model import Chat, match, well_formed
from maestromotif.language.replies import (
    Choice,
    Served,
    UnusableError,
    is_json,
    listed,
    received,
    retry_after,
    serves,
    text_of,
)
from maestromotif.language.templates import ARGUMENTS

log = logging.getLogger("maestromotif")

__all__ = ["ServerModel", "check", "identity", "load", "served_models"]

FIRST_PAUSE = 0.5  # seconds before the first retry; doubled for every further one
LONGEST_PAUSE = 60.0
SILENCE = 10.0  # seconds between two warnings about retries
CONNECT_TIMEOUT = 10.0
HANDSHAKE_TIMEOUT = 3.0
SHOWN = 200  # characters of a server's reply in an error
SHORTEST_SECRET = 8  # characters of a key that is one; local servers are given words such as EMPTY
NAMES_SHOWN = 20  # models of a server's list in an error
RENDERERS = ("vllm", "llamacpp")  # servers (by `owned_by`) that pass arguments on to chat templates
PASSING = (408, 409, 425, 429)  # temporary errors, like every 5xx

# OpenSSL's X509_V_ERR_... -> what helps where a certificate's authority is not the trouble.
_NAME = "Set language.url to the name that its certificate has"
_DATE = "Let it be renewed, or set this machine's clock if that is wrong"
CERTIFICATE_FIXES = {62: _NAME, 64: _NAME, 9: _DATE, 10: _DATE}

Body = dict[str, Any]

# Server (by `owned_by`) -> the fields that tell it a grammar.
GRAMMARS: dict[str, Callable[[str], Body]] = {
    "vllm": lambda grammar: {"structured_outputs": {"grammar": grammar}},
    "llamacpp": lambda grammar: {"grammar": grammar},
}
Result = TypeVar("Result")


@dataclass
class _Trouble:
    """What went wrong in one attempt, and what to do if it keeps happening."""

    what: str
    fix: str
    pause: float = 0.0  # seconds that the server asks us to wait
    passing: bool = True  # False: nobody is there who could answer soon


class ServerModel:
    """The constructor sends nothing; the first call asks the server which models it serves.

    Raises UserError if the environment has a key, a proxy or certificates that cannot be used.
    """

    def __init__(self, settings: LanguageSettings, digest: str, licence: str) -> None:
        self.name = settings.model
        self.digest = digest
        self.licence = licence
        self._served = presets.hub_name(settings.model)
        self._settings = settings
        self._checked = not settings.check_model
        self._warned = False  # whether a reply named another model
        self._answers = False  # whether the server has sent any response
        self._gives_logprobs = False  # whether a reply had any
        self._owner = ""  # who serves the model, as the server says (`owned_by`)
        self._extra: Body = {}  # fields beyond OpenAI's, for servers that accept them
        self._random = random.Random()
        self._silent_until = 0.0  # time.monotonic()
        self._key = api_key(settings.api_key_variable)
        self._proxy = proxy_for(settings.url)
        self._options = _options(settings, self._key, self._proxy)

    def answer_logprobs(
        self, prompts: Sequence[Chat], answers: Sequence[str]
    ) -> Float64[np.ndarray, "n answers"]:
        """See `model.LanguageModel`. Raises UserError if the server cannot answer all of them."""
        likeliest = {"logprobs": True, "top_logprobs": self._settings.top_logprobs}
        bodies = [
            self._body(prompt) | {"max_tokens": 1, "temperature": 0.0} | likeliest for prompt in prompts
        ]
        logprobs = np.empty((len(prompts), len(answers)))
        for row, choice in enumerate(self._ask_all(bodies)):
            logprobs[row] = match(choice.candidates, answers)
        return logprobs

    def complete(
        self,
        prompts: Sequence[Chat],
        max_tokens: int,
        temperature: float,
        seed: int,
        grammar: str | None = None,
    ) -> list[str]:
        """See `model.LanguageModel`. Raises UserError if the server cannot answer all of them."""
        bodies = [
            self._body(prompt)
            | {"max_tokens": max_tokens, "temperature": temperature, "seed": seed + number}
            | ({"top_p": presets.top_p(self.name)} if temperature else {})
            for number, prompt in enumerate(prompts)
        ]
        return [choice.text for choice in self._ask_all(bodies, grammar)]

    def models(self) -> Served:
        """What the server lists. Raises UserError if it gives no list."""

        async def ask() -> Served:
            async with httpx.AsyncClient(**self._options) as client:
                response = await self._send(client, client.build_request("GET", "/models"), _whole)
                served = listed(response)
                if served is not None:
                    return served
                if response.status_code in (401, 403) or response.has_redirect_location:
                    raise UserError(await self._refusal(client, response))
                raise UserError(
                    f"{self._url}: the server lists no models; it answered /models with status "
                    f"{response.status_code}: {self._start_of(response)}{self._way}"
                )

        return asyncio.run(ask())

    def reach(self) -> None:
        """Raises UserError for what no wait would change: no server, a wrong key, another model.

        A server that is busy, or that lists no models to this key, is trusted.
        """

        async def ask() -> None:
            async with httpx.AsyncClient(**self._options) as client:
                response = await self._attempt(client, client.build_request("GET", "/models"))
                if isinstance(response, _Trouble):
                    if not response.passing:
                        raise UserError(f"{self._url}: {response.what}. {response.fix}{self._way}")
                elif response.status_code == 401 or response.has_redirect_location:
                    raise UserError(await self._refusal(client, response))
                elif (served := listed(response)) is not None and not self._has(served):
                    raise UserError(self._not_served(served))

        asyncio.run(ask())

    def _has(self, served: Served) -> bool:
        """Whether a list has the configured model, or may leave it out."""
        return not self._settings.check_model or serves(served, self._served)

    def _body(self, prompt: Chat) -> Body:
        messages = [{**message, "content": well_formed(message["content"])} for message in prompt]
        body: Body = {"model": self._served, "messages": messages}
        if prompt[-1]["role"] == "assistant":  # vLLM needs these flags, llama.cpp's server does not
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        return body

    def _ask_all(self, bodies: Sequence[Body], grammar: str | None = None) -> list[Choice]:
        return asyncio.run(self._ask_together(bodies, grammar)) if bodies else []

    async def _ask_together(self, bodies: Sequence[Body], grammar: str | None) -> list[Choice]:
        found: dict[int, Choice] = {}
        left = iter(enumerate(bodies))

        async def ask_one_after_the_other(client: httpx.AsyncClient) -> None:
            for number, body in left:
                try:
                    found[number] = await self._ask(client, body | self._extra | self._held_to(grammar))
                except UserError as error:
                    raise UserError(
                        f"{error}\nThis was question {number + 1} of {len(bodies)}; {len(found)} were "
                        "answered."
                    ) from error

        async with httpx.AsyncClient(**self._options) as client:
            await self._check_served(client)
            try:
                async with asyncio.TaskGroup() as group:  # cancels the others when one fails
                    for _ in range(min(self._settings.concurrency, len(bodies))):
                        group.create_task(ask_one_after_the_other(client))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
        return [found[number] for number in range(len(bodies))]

    def _held_to(self, grammar: str | None) -> Body:
        """The fields by which the server that answers is told a grammar."""
        return {} if grammar is None or self._owner not in GRAMMARS else GRAMMARS[self._owner](grammar)

    async def _ask(self, client: httpx.AsyncClient, body: Body) -> Choice:
        """The reply to one question. Raises UserError if it fails for good."""
        last = body["messages"][-1]
        begun = str(last["content"]) if last["role"] == "assistant" else ""

        async def read(response: httpx.Response) -> Choice:
            if response.status_code != 200:
                raise UserError(await self._refusal(client, response))
            choice = Choice.read(response, begun)
            self._check_answered_by(choice.by)
            self._gives_logprobs |= bool(choice.candidates)
            if body.get("logprobs") and not (choice.candidates or choice.silent or self._gives_logprobs):
                raise UserError(
                    f"{self._url}: the reply has no log-probabilities, which captions are judged by; vLLM "
                    "and llama.cpp's server give them for every model, other servers only for some"
                )
            if len(self._key) < SHORTEST_SECRET:
                return choice
            return replace(choice, text=without_key(choice.text, self._key))  # it is kept in transcripts

        return await self._send(client, client.build_request("POST", "/chat/completions", json=body), read)

    def _check_answered_by(self, model: str) -> None:
        """Warns once if another model than the configured one has answered."""
        if model and model != self._served and not self._warned:
            self._warned = True
            log.warning(
                "%s: asked for '%s', and the server says that '%s' answers. If that is another model, the "
                "run's manifest names the wrong one",
                *(self._url, self._served, self._shown(model)),
            )

    async def _check_served(self, client: httpx.AsyncClient) -> None:
        """Checks before the first question that the server serves the configured model.

        Some servers answer with the model that they have even if the request names another; the manifest
        would then name the wrong model. A server that does not list its models is trusted.
        """
        if self._checked:
            return
        served = await self._models(client)
        if served is not None and not serves(served, self._served):
            raise UserError(self._not_served(served))
        self._owner = "" if served is None else (served.get(self._served) or "")
        if self._owner in RENDERERS:
            self._extra = {"chat_template_kwargs": ARGUMENTS}
        self._checked = True

    async def _models(self, client: httpx.AsyncClient) -> Served | None:
        """What the server lists; None without a list."""
        return listed(await self._send(client, client.build_request("GET", "/models"), _whole))

    # --------------------------------------------------------------------------------- attempts, pauses

    async def _send(
        self,
        client: httpx.AsyncClient,
        request: httpx.Request,
        read: Callable[[httpx.Response], Awaitable[Result]],
    ) -> Result:
        """Sends the request, with up to `language.retries` retries, and returns `read(response)`."""
        trouble = _Trouble("", "")
        for attempt in range(self._settings.retries + 1):
            if attempt:
                await self._pause(attempt, trouble)
            response = await self._attempt(client, request)
            if isinstance(response, _Trouble):
                trouble = response
                continue
            try:
                return await read(response)
            except UnusableError as error:
                trouble = _Trouble(
                    f"{error}: {self._start_of(response)}", "Is this an OpenAI-compatible server?"
                )
        tries = self._settings.retries + 1
        raise UserError(
            f"{self._url}: {trouble.what}; tried {tries} time{'' if tries == 1 else 's'} (language.retries). "
            f"{trouble.fix}{self._way}"
        )

    async def _attempt(self, client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response | _Trouble:
        """A response that a retry would not change, or what went wrong. Raises UserError if that stays."""
        try:
            async with asyncio.timeout(self._settings.timeout):  # httpx's own restarts with every byte
                response = await received(client, request)
        except UnusableError as error:
            return _Trouble(str(error), "Is this an OpenAI-compatible server?")
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout):
            return _Trouble(
                f"no answer within {self._settings.timeout:g} s",
                "Raise language.timeout, or lower language.concurrency.",
            )
        except httpx.InvalidURL as error:  # the client reads where a server sends it on to
            return _Trouble(
                f"the server sends requests on to what is no address ({self._said(error)})",
                "Set language.url to the address that answers.",
            )
        except httpx.ProxyError as error:
            return self._of_proxy(self._said(error))
        except httpx.RequestError as error:
            if (of_tls := _tls_error(error)) is not None:
                raise UserError(self._not_trusted(of_tls)) from None
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                start = f"Start one with: vllm serve {self._served}  (or set language.url)"
                return _Trouble(f"no server answers ({self._said(error)})", start, passing=False)
            if await self._speaks_tls():
                raise UserError(self._encrypted) from None
            return _Trouble(f"the connection broke ({self._said(error)})", "Check the server's log.")
        status = response.status_code
        if status == 400 and not is_json(response) and await self._speaks_tls():
            raise UserError(self._encrypted)
        self._answers = True
        if status == 407:
            return self._of_proxy("407")
        if status in PASSING or status >= 500:
            fix = "Lower language.concurrency." if status == 429 else "Check the server's log."
            return _Trouble(f"status {status}: {self._start_of(response)}", fix, retry_after(response))
        return response

    async def _pause(self, attempt: int, trouble: _Trouble) -> None:
        """Waits before retry `attempt` (from 1): exponential backoff with jitter, or as the server asks."""
        grown = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
        longest = self._settings.timeout
        asked = min(trouble.pause * self._random.uniform(1.0, 1.1), longest)
        pause = max(grown * self._random.uniform(0.5, 1.0), asked)
        if time.monotonic() >= self._silent_until:  # many requests fail for the same reason at once
            self._silent_until = time.monotonic() + SILENCE
            more = (
                f"; the server asks for a pause of {trouble.pause:.0f} s, but language.timeout is the longest"
                if trouble.pause > longest
                else ""
            )
            tries = f"try {attempt + 1} of {self._settings.retries + 1}"
            log.warning("%s: %s; %s in %.1f s%s", self._url, trouble.what, tries, pause, more)
        await asyncio.sleep(pause)

    # ---------------------------------------------------------------------------------------- refusals

    async def _refusal(self, client: httpx.AsyncClient, response: httpx.Response) -> str:
        """An error message: why the server refused a question and what to do."""
        status, variable = response.status_code, self._settings.api_key_variable
        says = f"status {status}: {self._start_of(response)}{self._way}"
        if response.has_redirect_location:
            to = self._shown(response.headers["Location"])
            with contextlib.suppress(httpx.InvalidURL, ValueError):
                to = bare_address(str(response.url.join(to)))
            return (
                f"{self._url}: the server sends requests on to {to} (status {status}), where the key would "
                f"go too; set language.url to the address that answers{self._way}"
            )
        if status in (401, 403):
            where = f"the environment variable {variable} (language.api_key_variable)"
            if not is_json(response) and (self._proxy is not None or status == 403):  # a page of a gateway
                who = "the server" if self._proxy is None else "the proxy"
                return (
                    f"{self._url}: {who} refuses the request, or something behind it. If that wants a key, "
                    f"put it in {where}. It says {says}"
                )
            reason = "rejects the key in" if self._key else "needs a key; put it in"
            return f"{self._url}: the server {reason} {where}. It says {says}"
        if status == 404:
            served = await self._models(client)
            if served is not None and not serves(served, self._served):
                return self._not_served(served)
            return (
                f"{self._url}: no chat completions for '{self._served}' at this address; language.url should "
                f"look like http://127.0.0.1:8000/v1. The server says {says}"
            )
        if any(word in text_of(response).lower() for word in ("context length", "context size", "too long")):
            return (
                f"{self._url}: a prompt is too long for the server's context. Start the server with a longer "
                f"one (vllm serve {self._served} --max-model-len N). It says {says}"
            )
        return f"{self._url}: the server refused the request. It says {says}"

    def _not_served(self, served: Served) -> str:
        names = [self._shown(name)[:SHOWN] for name in list(served)[:NAMES_SHOWN]]
        names += [f"and {len(served) - NAMES_SHOWN} more"] if len(served) > NAMES_SHOWN else []
        return (
            f"{self._url}: the server has no model '{self._served}' (language.model); it has "
            f"{', '.join(names) or 'none'}. Use one of those, or start: vllm serve {self._served}. If the "
            f"server has it and does not list it, set language.check_model=false{self._way}"
        )

    def _of_proxy(self, says: str) -> _Trouble:
        """What went wrong at the proxy. Raises UserError if it would not go right the next time."""
        if says.startswith("4"):  # a status, and 429 is the server's
            wants = (
                "wants a user and a password" if says.startswith("407") else "refuses the way to the server"
            )
            raise UserError(f"{self._url}: the proxy {wants} ({says}){self._way}")
        return _Trouble(f"the proxy does not answer ({says})", "Check the proxy.", passing=False)

    async def _speaks_tls(self) -> bool:
        """Whether a server with an http address speaks TLS. One that has answered anything does not."""
        address = urlsplit(self._url)
        if self._answers or address.scheme == "https" or self._proxy is not None:
            return False
        anybody = ssl.create_default_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                _, writer = await asyncio.open_connection(address.hostname, address.port or 80, ssl=anybody)
        except (OSError, TimeoutError):
            return False
        writer.transport.abort()
        return True

    @property
    def _encrypted(self) -> str:
        return f"{self._url}: the server speaks TLS at this port; language.url should begin with https://"

    def _not_trusted(self, error: ssl.SSLError) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            fix = CERTIFICATE_FIXES.get(
                error.verify_code,
                "Set the environment variable SSL_CERT_FILE to a file that holds its authority's certificate",
            )
            return (
                f"{self._url}: the server's certificate is not trusted: {self._shown(error.verify_message)}. "
                f"{fix}{self._way}"
            )
        return (
            f"{self._url}: the server does not speak TLS as it should ({self._said(error)}); if it speaks "
            f"none, language.url should begin with http://{self._way}"
        )

    @property
    def _url(self) -> str:
        return self._settings.url

    @property
    def _way(self) -> str:
        """The proxy on the way to the server, for an error: it may be what answered."""
        if self._proxy is None:
            return ""
        return (
            f". The way leads through the proxy {self._proxy.place}, which the environment variable "
            f"{self._proxy.variable} names; to go around it, add {urlsplit(self._url).hostname} to no_proxy"
        )

    def _start_of(self, response: httpx.Response) -> str:
        """The start of a reply, for an error."""
        text = self._shown(text_of(response))
        return repr(text[:SHOWN]) if text else "(empty)"

    def _said(self, error: Exception) -> str:
        return self._shown(str(error))[:SHOWN] or type(error).__name__

    def _shown(self, text: str) -> str:
        """What somebody else has written, on one line of characters that print; the key in it is masked."""
        line = " ".join(without_key(text, self._key).split())
        return "".join(one if one.isprintable() else "\ufffd" for one in line)


def load(settings: LanguageSettings) -> ServerModel:
    """The configured model; sends nothing to the server yet. Raises UserError."""
    return ServerModel(settings, *identity(settings))


def foresee(settings: LanguageSettings) -> None:
    """Raises UserError for a key, a proxy, certificates or an address that cannot be used; sends nothing."""
    load(settings)


def reach(settings: LanguageSettings) -> None:
    """See `ServerModel.reach`."""
    load(_once(settings)).reach()


def check(settings: LanguageSettings) -> Iterator[Finding]:
    """Whether a server answers at `language.url` and lists the configured model."""
    name = presets.hub_name(settings.model)
    start = shlex.join(["vllm", "serve", name])
    try:
        model = load(_once(settings))
    except UserError as error:  # of the environment: another server would not help
        yield Finding("missing", str(error))
        return
    try:
        served = model.models()
    except UserError as error:
        yield Finding("missing", str(error), start)
        return
    if model._has(served):
        yield Finding("ok", f"{settings.url} serves {settings.model}")
    else:
        yield Finding("missing", model._not_served(served), start)


def served_models(settings: LanguageSettings) -> list[str]:
    """Names of the models that the server at `language.url` lists. Raises UserError if it gives no list."""
    return list(load(_once(settings)).models())


def _once(settings: LanguageSettings) -> LanguageSettings:
    """The settings for a look at the server: no retries, and a short time for all of it."""
    return settings.model_copy(update={"retries": 0, "timeout": min(CONNECT_TIMEOUT, settings.timeout)})


def _options(settings: LanguageSettings, key: str, proxy: Proxy | None) -> dict[str, Any]:
    """Arguments of the HTTP client for the configured server. Raises UserError."""
    try:
        base = httpx.URL(settings.url)
        if not base.host:  # read here, because it decodes an international name
            raise ValueError(settings.url)
        tls = certificates(proxy.url) if proxy and proxy.url.startswith("https:") else None
        way = proxy and httpx.Proxy(proxy.url, ssl_context=tls)
    except (httpx.InvalidURL, ValueError) as error:
        wrong = "language.url" if proxy is None else f"language.url or {proxy.variable}"
        raise UserError(f"{wrong}: cannot be used as an address") from error
    return {
        "base_url": base,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": httpx.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT, 0.8 * settings.timeout)),
        "limits": httpx.Limits(max_connections=settings.concurrency),
        "verify": certificates(settings.url),
        "proxy": way,
        "trust_env": False,  # `connection` has read it
    }


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The error of TLS that a client's error comes from."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


async def _whole(response: httpx.Response) -> httpx.Response:
    return response
