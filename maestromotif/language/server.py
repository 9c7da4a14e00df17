"""A language model behind an OpenAI-compatible server: `vllm serve`, llama.cpp's server, and others.

Many questions are under way at once (`language.concurrency`), and the answers are put back in the order
asked. What may pass is asked again, with growing pauses: no connection, too many questions (429), errors of
the server (5xx), timeouts, half an answer. What will not pass (400, 401, 404) is not. The first question that
is lost for good ends the call: callers write down what they have chunk by chunk and lose one call's answers.

Nothing promises the same bits twice: servers compute questions together, as they happen to arrive.
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

from maestromotif.config.schema import LanguageSettings
from maestromotif.errors import Finding, UserError
from maestromotif.language import presets
from maestromotif.language.hub import identity
from maestromotif.language.model import Chat, match
from maestromotif.language.templates import ARGUMENTS

log = logging.getLogger("maestromotif")

__all__ = ["ServerModel", "check", "identity", "load", "served_models"]

FIRST_PAUSE = 0.5  # seconds before a question is asked again; doubled every time
LONGEST_PAUSE = 60.0
SILENCE = 10.0  # seconds between two lines of the log about trouble
CONNECT_TIMEOUT = 10.0
SHOWN = 200  # characters of a server's answer in an error
RENDERERS = ("vllm", "llamacpp")  # servers, as they call themselves, that hand arguments on to templates
PASSING = (408, 409, 425, 429)  # with every 5xx, what may be otherwise the next time

Body = dict[str, Any]
Result = TypeVar("Result")


class _UnusableError(ValueError):
    """A reply that is not what was asked for, though its status says so."""


@dataclass
class _Trouble:
    """What went wrong with one attempt, and what helps if it goes on."""

    what: str
    mend: str
    pause: float = 0.0  # seconds that the server wants us to wait


@dataclass(frozen=True)
class _Choice:
    """What is used of a reply."""

    text: str  # without the message that it continues
    candidates: list[tuple[str, float]]  # likeliest first tokens, if they were asked for

    @staticmethod
    def read(response: httpx.Response, body: Body) -> "_Choice":
        """Raises _UnusableError, or UserError if the server leaves out log-probabilities."""
        try:
            reply = response.json()
        except ValueError as error:  # also for bytes that are no UTF-8
            raise _UnusableError("the answer is no JSON") from error
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
            raise _UnusableError("the answer is no chat completion") from error
        if "timings" in reply:  # llama.cpp's server, which repeats the message that it continues
            text = text.removeprefix(_begun(body))
        if body.get("logprobs") and not candidates and (text or choice.get("logprobs") is None):
            raise UserError(
                f"{response.request.url}: the answer has no log-probabilities, by which captions are judged; "
                "vLLM and llama.cpp's server give them for every model, others only for some"
            )
        return _Choice(text, candidates)


class ServerModel:
    """Nothing is asked on construction; the first call asks the server which models it serves."""

    def __init__(self, settings: LanguageSettings, digest: str, licence: str) -> None:
        self.name = settings.model
        self.digest = digest
        self.licence = licence
        self._served = presets.hub_name(settings.model)
        self._settings = settings
        self._checked = False
        self._extra: Body = {}  # fields beyond OpenAI's, for a server that is known to take them
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
        if prompt[-1]["role"] == "assistant":  # vLLM has to be told; llama.cpp's server does it by itself
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
                        f"{error}\nThis was question {number + 1} of {len(bodies)}; {len(found)} of "
                        "them were answered."
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
        """The reply to one question. Raises UserError if it is lost for good."""

        async def read(response: httpx.Response) -> _Choice:
            if response.status_code != 200:
                raise UserError(await self._refusal(client, response))
            return _Choice.read(response, body)

        return await self._send(client, client.build_request("POST", "/chat/completions", json=body), read)

    async def _check_served(self, client: httpx.AsyncClient) -> None:
        """Sees to it, before the first question, that it is the configured model that will answer.

        Some servers answer with the model that they have, whatever was asked for; a manifest would then name
        the wrong one. A server that does not list its models is taken at its word.
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
        """Names of the models that the server lists, each with its server's name; None without a list."""

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
        """What `read` makes of the response, after as many attempts as it takes and the settings allow."""
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
            f"{self._url}: {trouble.what}, {tries} time{'' if tries == 1 else 's'} (language.retries). "
            f"{trouble.mend}"
        )

    async def _attempt(self, client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response | _Trouble:
        """A response that will be the same the next time, or what went wrong."""
        try:
            async with asyncio.timeout(self._settings.timeout):  # httpx's begins anew with every byte
                response = await client.send(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return _Trouble(
                f"no server answers ({_one_line(error)})",
                f"Start one there, with: vllm serve {self._served}  (or set language.url)",
            )
        except (TimeoutError, httpx.TimeoutException):
            return _Trouble(
                f"no answer within {self._settings.timeout:g} s",
                "Raise language.timeout, or lower language.concurrency.",
            )
        except httpx.RequestError as error:
            return _Trouble(f"the connection broke ({_one_line(error)})", "Look at the server's log.")
        status = response.status_code
        if status in PASSING or status >= 500:
            mend = "Lower language.concurrency." if status == 429 else "Look at the server's log."
            return _Trouble(f"status {status}: {self._start_of(response)}", mend, _retry_after(response))
        return response

    async def _pause(self, attempt: int, trouble: _Trouble) -> None:
        """Waits before the attempt of this number, from 1: twice as long each time, but never all at once."""
        grown = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
        pause = max(grown * self._random.uniform(0.5, 1.0), trouble.pause * self._random.uniform(1.0, 1.1))
        if time.monotonic() >= self._silent_until:  # many questions have the same trouble at once
            self._silent_until = time.monotonic() + SILENCE
            log.warning("%s: %s; asking again in %.1f s", self._url, trouble.what, pause)
        await asyncio.sleep(pause)

    # ---------------------------------------------------------------------------------------- refusals

    async def _refusal(self, client: httpx.AsyncClient, response: httpx.Response) -> str:
        """Why a question was refused and what to do, in words."""
        status, variable = response.status_code, self._settings.api_key_variable
        says = f"status {status}: {self._start_of(response)}"
        if status in (401, 403):
            reason = "refuses the key in" if self._key else "wants a key; put it in"
            return (
                f"{self._url}: the server {reason} the environment variable {variable} "
                f"(language.api_key_variable). It says {says}"
            )
        if status == 404:
            served = await self._models(client)
            if served is not None and self._served not in served:
                return _not_served(self._url, self._served, list(served))
            return (
                f"{self._url}: no chat completions of '{self._served}' there; language.url should be like "
                f"http://127.0.0.1:8000/v1. It says {says}"
            )
        if any(word in response.text.lower() for word in ("context length", "context size", "too long")):
            return (
                f"{self._url}: a prompt is too long for the model as it is served. Start the server with a "
                f"longer context (vllm serve {self._served} --max-model-len N). It says {says}"
            )
        return f"{self._url}: the server refuses. It says {says}"

    @property
    def _url(self) -> str:
        return self._settings.url

    def _start_of(self, response: httpx.Response) -> str:
        """The beginning of a reply for an error, without the key if the server repeats it."""
        text = " ".join(response.text.split())
        if self._key:
            text = text.replace(self._key, "(key)")
        return repr(text[:SHOWN]) if text else "(empty)"


def load(settings: LanguageSettings) -> ServerModel:
    """The configured model; nothing is asked of the server yet. Raises UserError."""
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
    """Names of the models that the server at `language.url` lists. Raises UserError if it does not."""
    try:
        with httpx.Client(**_options(settings)) as client:
            response = client.get("/models", timeout=CONNECT_TIMEOUT)
    except httpx.TransportError as error:
        raise UserError(f"{settings.url}: no server answers ({_one_line(error)})") from error
    served = _listed(response)
    if served is None:
        raise UserError(f"{settings.url}: lists no models; it answers /models with {response.status_code}")
    return list(served)


def _options(settings: LanguageSettings) -> dict[str, Any]:
    """What an HTTP client needs to know to talk to the configured server."""
    key = _key(settings)
    return {
        "base_url": settings.url,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": httpx.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT, settings.timeout)),
        "limits": httpx.Limits(max_connections=settings.concurrency),
        "verify": _certificates(),
        # no proxy stands between us and this machine
        "trust_env": urlsplit(settings.url).hostname not in ("127.0.0.1", "localhost", "::1"),
    }


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Those that httpx trusts, read once: it takes a while."""
    return httpx.create_ssl_context()


def _key(settings: LanguageSettings) -> str:
    return os.environ.get(settings.api_key_variable, "").strip()


def _not_served(url: str, name: str, served: Sequence[str]) -> str:
    return (
        f"{url}: serves no model '{name}' (language.model); it serves {', '.join(served) or 'none'}. "
        f"Name one of those, or start: vllm serve {name}"
    )


def _listed(response: httpx.Response) -> dict[str, str] | None:
    """Names of the models in a reply to /models, each with its server's name; None if it is not a list."""
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
    """Seconds that a server wants us to wait: a number or a date in its header; 0 if it says nothing."""
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
