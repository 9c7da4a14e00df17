"""A language model behind an OpenAI-compatible server: `vllm serve`, llama.cpp's server, and others.

Up to `language.concurrency` requests run at once; answers are returned in the order asked. Temporary errors
are retried with exponential backoff: no connection, too many requests (429), server errors (5xx), timeouts,
incomplete replies. Permanent errors (400, 401, 404) are not retried. The first request that fails for good
ends the call. Callers save their answers chunk by chunk, so they lose one call's answers.

The same questions may give different bits, because servers batch requests as they arrive.
"""

import asyncio
import email.utils
import functools
import logging
import math
import os
import random
import shlex
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import numpy as np
from jaxtyping import Float64

from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import Finding, UserError
from maestromotif.language import presets
from maestromotif.language.hub import identity
from maestromotif.language.model import Chat, match
from maestromotif.language.templates import ARGUMENTS

log = logging.getLogger("maestromotif")

__all__ = ["ServerModel", "check", "identity", "load", "served_models"]

FIRST_PAUSE = 0.5  # seconds before the first retry; doubled for every further one
LONGEST_PAUSE = 60.0
SILENCE = 10.0  # seconds between two warnings about retries
CONNECT_TIMEOUT = 10.0
SHOWN = 200  # characters of a server's reply in an error
RENDERERS = ("vllm", "llamacpp")  # servers (by `owned_by`) that pass arguments on to chat templates
PASSING = (408, 409, 425, 429)  # temporary errors, like every 5xx

Body = dict[str, Any]
Result = TypeVar("Result")


class _UnusableError(ValueError):
    """A reply that is not what was asked for, although its status is 200."""


@dataclass
class _Trouble:
    """What went wrong in one attempt, and what to do if it keeps happening."""

    what: str
    fix: str
    pause: float = 0.0  # seconds that the server asks us to wait


@dataclass(frozen=True)
class _Choice:
    """The parts of a reply that we use."""

    text: str  # without the message that it continues
    candidates: list[tuple[str, float]]  # most likely first tokens, if requested

    @staticmethod
    def read(response: httpx.Response, body: Body) -> "_Choice":
        """Raises _UnusableError, or UserError if the server leaves out log-probabilities."""
        try:
            reply = response.json()
        except ValueError as error:  # also for bytes that are not UTF-8
            raise _UnusableError("the reply is not JSON") from error
        try:
            choice = reply["choices"][0]
            text = choice["message"]["content"] or ""
            logprobs = (choice.get("logprobs") or {}).get("content") or []
            candidates = [
                (str(candidate["token"]), float(candidate["logprob"]))
                for candidate in (logprobs[0].get("top_logprobs") or [] if logprobs else [])
            ]
            if not isinstance(text, str):
                raise TypeError
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise _UnusableError("the reply is not a chat completion") from error
        if "timings" in reply:  # llama.cpp's server, which repeats the message that it continues
            text = text.removeprefix(_begun(body))
        if body.get("logprobs") and not candidates and (text or choice.get("logprobs") is None):
            raise UserError(
                f"{response.request.url}: the reply has no log-probabilities, which captions are judged by; "
                "vLLM and llama.cpp's server give them for every model, other servers only for some"
            )
        return _Choice(text, candidates)


class ServerModel:
    """The constructor sends nothing; the first call asks the server which models it serves."""

    def __init__(self, settings: LanguageSettings, digest: str, licence: str) -> None:
        self.name = settings.model
        self.digest = digest
        self.licence = licence
        self._served = presets.hub_name(settings.model)
        self._settings = settings
        self._checked = False
        self._extra: Body = {}  # fields beyond OpenAI's, for servers that accept them
        self._random = random.Random()
        self._silent_until = 0.0  # time.monotonic()
        self._key = _key(settings)
        self._options = _options(settings)

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

    def complete(self, prompts: Sequence[Chat], max_tokens: int, temperature: float, seed: int) -> list[str]:
        """See `model.LanguageModel`. Raises UserError if the server cannot answer all of them."""
        bodies = [
            self._body(prompt)
            | {"max_tokens": max_tokens, "temperature": temperature, "seed": seed + number}
            | ({"top_p": presets.top_p(self.name)} if temperature else {})
            for number, prompt in enumerate(prompts)
        ]
        return [choice.text for choice in self._ask_all(bodies)]

    def _body(self, prompt: Chat) -> Body:
        body: Body = {"model": self._served, "messages": prompt}
        if prompt[-1]["role"] == "assistant":  # vLLM needs these flags, llama.cpp's server does not
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        return body

    def _ask_all(self, bodies: Sequence[Body]) -> list[_Choice]:
        return asyncio.run(self._ask_together(bodies)) if bodies else []

    async def _ask_together(self, bodies: Sequence[Body]) -> list[_Choice]:
        found: dict[int, _Choice] = {}
        left = iter(enumerate(bodies))

        async def ask_one_after_the_other(client: httpx.AsyncClient) -> None:
            for number, body in left:
                try:
                    found[number] = await self._ask(client, body | self._extra)
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

    async def _ask(self, client: httpx.AsyncClient, body: Body) -> _Choice:
        """The reply to one question. Raises UserError if it fails for good."""

        async def read(response: httpx.Response) -> _Choice:
            if response.status_code != 200:
                raise UserError(await self._refusal(client, response))
            return _Choice.read(response, body)

        return await self._send(client, client.build_request("POST", "/chat/completions", json=body), read)

    async def _check_served(self, client: httpx.AsyncClient) -> None:
        """Checks before the first question that the server serves the configured model.

        Some servers answer with the model that they have even if the request names another; the manifest
        would then name the wrong model. A server that does not list its models is trusted.
        """
        if self._checked:
            return
        served = await self._models(client)
        if served is not None and self._served not in served:
            raise UserError(_not_served(self._url, self._served, list(served)))
        if served is not None and served[self._served] in RENDERERS:
            self._extra = {"chat_template_kwargs": ARGUMENTS}
        self._checked = True

    async def _models(self, client: httpx.AsyncClient) -> dict[str, str] | None:
        """Maps each model that the server lists to its `owned_by`; None without a list."""

        async def read(response: httpx.Response) -> dict[str, str] | None:
            return _listed(response)

        return await self._send(client, client.build_request("GET", "/models"), read)

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
            except _UnusableError as error:
                trouble = _Trouble(
                    f"{error}: {self._start_of(response)}", "Is this an OpenAI-compatible server?"
                )
        tries = self._settings.retries + 1
        raise UserError(
            f"{self._url}: {trouble.what}; tried {tries} time{'' if tries == 1 else 's'} (language.retries). "
            f"{trouble.fix}"
        )

    async def _attempt(self, client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response | _Trouble:
        """A response that a retry would not change, or what went wrong."""
        try:
            async with asyncio.timeout(self._settings.timeout):  # httpx's own restarts with every byte
                response = await client.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return _Trouble(
                f"no server answers ({_one_line(error)})",
                f"Start one with: vllm serve {self._served}  (or set language.url)",
            )
        except (TimeoutError, httpx.TimeoutException):
            return _Trouble(
                f"no answer within {self._settings.timeout:g} s",
                "Raise language.timeout, or lower language.concurrency.",
            )
        except httpx.RequestError as error:
            return _Trouble(f"the connection broke ({_one_line(error)})", "Check the server's log.")
        status = response.status_code
        if status in PASSING or status >= 500:
            fix = "Lower language.concurrency." if status == 429 else "Check the server's log."
            return _Trouble(f"status {status}: {self._start_of(response)}", fix, _retry_after(response))
        return response

    async def _pause(self, attempt: int, trouble: _Trouble) -> None:
        """Waits before retry `attempt` (from 1): exponential backoff with jitter."""
        grown = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
        pause = max(grown * self._random.uniform(0.5, 1.0), trouble.pause * self._random.uniform(1.0, 1.1))
        if time.monotonic() >= self._silent_until:  # many requests fail for the same reason at once
            self._silent_until = time.monotonic() + SILENCE
            log.warning("%s: %s; retrying in %.1f s", self._url, trouble.what, pause)
        await asyncio.sleep(pause)

    # ---------------------------------------------------------------------------------------- refusals

    async def _refusal(self, client: httpx.AsyncClient, response: httpx.Response) -> str:
        """An error message: why the server refused a question and what to do."""
        status, variable = response.status_code, self._settings.api_key_variable
        says = f"status {status}: {self._start_of(response)}"
        if status in (401, 403):
            reason = "rejects the key in" if self._key else "needs a key; put it in"
            return (
                f"{self._url}: the server {reason} the environment variable {variable} "
                f"(language.api_key_variable). It says {says}"
            )
        if status == 404:
            served = await self._models(client)
            if served is not None and self._served not in served:
                return _not_served(self._url, self._served, list(served))
            return (
                f"{self._url}: no chat completions for '{self._served}' at this address; language.url should "
                f"look like http://127.0.0.1:8000/v1. The server says {says}"
            )
        if any(word in response.text.lower() for word in ("context length", "context size", "too long")):
            return (
                f"{self._url}: a prompt is too long for the server's context. Start the server with a longer "
                f"one (vllm serve {self._served} --max-model-len N). It says {says}"
            )
        return f"{self._url}: the server refused the request. It says {says}"

    @property
    def _url(self) -> str:
        return self._settings.url

    def _start_of(self, response: httpx.Response) -> str:
        """The start of a reply, for an error; masks the key if the server repeats it."""
        text = " ".join(response.text.split())
        if self._key:
            text = text.replace(self._key, "(key)")
        return repr(text[:SHOWN]) if text else "(empty)"


def load(settings: LanguageSettings) -> ServerModel:
    """The configured model; sends nothing to the server yet. Raises UserError."""
    return ServerModel(settings, *identity(settings))


def check(settings: LanguageSettings) -> Iterator[Finding]:
    """Whether a server answers at `language.url` and lists the configured model."""
    name = presets.hub_name(settings.model)
    start = shlex.join(["vllm", "serve", name])
    try:
        served = served_models(settings)
    except UserError as error:
        yield Finding("missing", str(error), start)
        return
    if name in served:
        yield Finding("ok", f"{settings.url} serves {settings.model}")
    else:
        yield Finding("missing", _not_served(settings.url, name, served), start)


def served_models(settings: LanguageSettings) -> list[str]:
    """Names of the models that the server at `language.url` lists. Raises UserError if it gives no list."""
    try:
        with httpx.Client(**_options(settings)) as client:
            response = client.get("/models", timeout=CONNECT_TIMEOUT)
    except httpx.TransportError as error:
        raise UserError(f"{settings.url}: no server answers ({_one_line(error)})") from error
    served = _listed(response)
    if served is None:
        raise UserError(
            f"{settings.url}: the server lists no models; it answered /models with {response.status_code}"
        )
    return list(served)


def _options(settings: LanguageSettings) -> dict[str, Any]:
    """Arguments of the HTTP client for the configured server."""
    key = _key(settings)
    return {
        "base_url": settings.url,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": httpx.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT, settings.timeout)),
        "limits": httpx.Limits(max_connections=settings.concurrency),
        "verify": _certificates(),
        # a server on this machine needs no proxy
        "trust_env": urlsplit(settings.url).hostname not in ("127.0.0.1", "localhost", "::1"),
    }


@functools.cache
def _certificates() -> ssl.SSLContext:
    """The certificates that httpx trusts; read once, because reading is slow."""
    return httpx.create_ssl_context()


def _key(settings: LanguageSettings) -> str:
    return os.environ.get(settings.api_key_variable, "").strip()


def _not_served(url: str, name: str, served: Sequence[str]) -> str:
    return (
        f"{url}: the server has no model '{name}' (language.model); it has {', '.join(served) or 'none'}. "
        f"Use one of those, or start: vllm serve {name}"
    )


def _listed(response: httpx.Response) -> dict[str, str] | None:
    """Maps each model in a reply to /models to its `owned_by`; None if the reply is not a list."""
    if response.status_code != 200:
        return None
    try:
        return {str(model["id"]): str(model.get("owned_by", "")) for model in response.json()["data"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _begun(body: Body) -> str:
    last = body["messages"][-1]
    return str(last["content"]) if last["role"] == "assistant" else ""


def _retry_after(response: httpx.Response) -> float:
    """Seconds to wait by the Retry-After header, which is a number or a date; 0 without the header."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _one_line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
