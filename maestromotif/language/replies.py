"""What a server's replies say: text, log-probabilities, the pause that it asks for."""

import email.utils
import math
import time
from dataclasses import dataclass
from typing import Any

import httpx

from maestromotif.language.model import ROUNDED, well_formed

# Reasons to finish (`finish_reason`) of servers that did not: vLLM and SGLang as they shut down, and others.
BROKEN_OFF = ("error", "abort", "aborted", "cancelled", "insufficient_system_resource")


class UnusableError(ValueError):
    """A reply that is not what was asked for, although its status is that of a success.

    at_last: what to take if the server stays with it; None: nothing.
    """

    def __init__(self, what: str, at_last: Any = None) -> None:
        super().__init__(what)
        self.at_last = at_last


@dataclass(frozen=True)
class Choice:
    """The parts of a reply that we use."""

    text: str  # without the message that it continues
    # Most likely first tokens, if requested. None: a token that cannot be read; NaN: no log-probability.
    candidates: list[tuple[str | None, float]]
    silent: bool  # nothing was written, and the server says why: a filter, or the end at once
    by: str = ""  # the model that the server says has answered

    @property
    def rated(self) -> bool:
        """Whether there are log-probabilities of tokens."""
        return any(token is not None for token, _ in self.candidates)

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
            candidates = [_candidate(one) for one in likeliest]
            ended = choice.get("finish_reason")
            failed = ended in BROKEN_OFF or bool(choice.get("error") or reply.get("error"))
            filtered = ended == "content_filter" or _refuses(message)
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


def _refuses(message: Any) -> bool:
    """Whether a message is a refusal, or has one among its parts."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return bool(message.get("refusal")) or any(part["type"] == "refusal" for part in parts)


def held_back(response: httpx.Response) -> bool:
    """Whether a refusal is that of a filter, of the question or of its answer."""
    try:
        return bool(response.json()["error"]["code"] == "content_filter")
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _candidate(candidate: Any) -> tuple[str | None, float]:
    """A token and its log-probability; None and NaN for what cannot be read."""
    if not isinstance(candidate, dict) or not isinstance(candidate.get("token"), str):
        return None, math.nan
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
