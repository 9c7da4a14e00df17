"""What a server's replies say: text, log-probabilities, the models that it lists, the pause it asks for."""

import email.utils
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from maestromotif.language.model import ROUNDED, well_formed

LARGEST = 16 << 20  # bytes of a reply; those to our questions have less than a million

_WIRE = (b"content-encoding", b"content-length", b"transfer-encoding")  # of the bytes as they were sent

Served = Mapping[str, str]  # each model that a server lists -> its `owned_by`


class UnusableError(ValueError):
    """A reply that is not what was asked for, although its status is 200."""


@dataclass(frozen=True)
class Choice:
    """The parts of a reply that we use."""

    text: str  # without the message that it continues
    candidates: list[tuple[str, float]]  # most likely first tokens, if requested; NaN: not a log-probability
    silent: bool  # nothing was written, and the server says why: a filter, or the end at once
    by: str = ""  # the model that the server says has answered

    @staticmethod
    def read(response: httpx.Response, begun: str) -> "Choice":
        """begun: the start of the message that was to be continued. Raises UnusableError."""
        try:
            reply = response.json()
        except (ValueError, RecursionError) as error:  # also for bytes that are not UTF-8
            raise UnusableError("the reply is not JSON") from error
        try:
            choice = reply["choices"][0]
            message = choice["message"]
            text, logprobs = _text(message.get("content")), choice.get("logprobs")
            listed = (logprobs or {}).get("content") or []
            likeliest = (listed[0] or {}).get("top_logprobs") or [] if listed else []
            candidates = [found for found in map(_candidate, likeliest) if found]
            failed = choice.get("finish_reason") == "error"
            filtered = choice.get("finish_reason") == "content_filter" or bool(message.get("refusal"))
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise UnusableError("the reply is not a chat completion") from error
        if failed:
            raise UnusableError("the server stopped with an error of its own")
        if "timings" in reply:  # llama.cpp's server, which repeats the message that it continues
            text = text.removeprefix(begun)
        by = reply.get("model")
        silent = not text and (filtered or logprobs is not None)
        return Choice(text, candidates, silent, by if isinstance(by, str) else "")


def _text(content: Any) -> str:
    """A message's content is text, null, or a list of parts. Raises TypeError."""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part["type"] == "text")
    if content is not None and not isinstance(content, str):
        raise TypeError
    return well_formed(content or "")


def _candidate(candidate: Any) -> tuple[str, float] | None:
    """A token and its log-probability, NaN if that is none; None if the token cannot be read."""
    if not isinstance(candidate, dict) or not isinstance(candidate.get("token"), str):
        return None
    logprob: Any = candidate.get("logprob")
    try:
        number = math.nan if isinstance(logprob, bool) else float(logprob)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    return candidate["token"], min(number, 0.0) if number <= ROUNDED else math.nan


def listed(response: httpx.Response) -> Served | None:
    """The models in a reply to /models; None if the reply is not a list."""
    if response.status_code != 200:
        return None
    try:
        return {str(model["id"]): str(model.get("owned_by", "")) for model in response.json()["data"]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def serves(served: Served, name: str) -> bool:
    """Whether a list has a model; a gateway may list a pattern, such as "*" or "openai/*"."""
    return name in served or any(_fits(one, name) for one in served if "*" in one)


def _fits(pattern: str, name: str) -> bool:
    """Whether "*" in the pattern can stand for what the name has in its place.

    Not a regular expression, which would take hours for a pattern with many "*".
    """
    first, *between, last = pattern.split("*")
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in between:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def retry_after(response: httpx.Response) -> float:
    """Seconds to wait by the Retry-After header, which is a number or a date; 0 without the header."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            # By the server's clock if it tells the time: ours may differ by hours.
            now = email.utils.parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, ValueError, TypeError, OverflowError):
            now = time.time()
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


async def received(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
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


def text_of(response: httpx.Response) -> str:
    """The text of a reply, as UTF-8 if it names no charset, or one that is not of text, such as base64."""
    try:
        return response.text
    except (AssertionError, LookupError, ValueError):
        return response.content.decode("utf-8", "replace")


def is_json(response: httpx.Response) -> bool:
    try:
        response.json()
    except (ValueError, RecursionError):
        return False
    return True
