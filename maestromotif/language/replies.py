"""What a server's replies say: text, log-probabilities, the pause that it asks for."""

import email.utils
import math
import time
from dataclasses import dataclass
from typing import Any

import httpx

from maestromotif.language.model import ROUNDED, well_formed


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
