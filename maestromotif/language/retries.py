"""Repeats a request while what goes wrong may pass, after exponential pauses or those that a server wants."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from maestromotif.config.labels import LanguageSettings
from maestromotif.language.replies import UnusableError
from maestromotif.language.transport import COMPATIBLE, Transport, Trouble

log = logging.getLogger("maestromotif")

FIRST_PAUSE = 0.5  # seconds before the first retry; doubled for every further one
LONGEST_PAUSE = 60.0
SILENCE = 10.0  # seconds between two warnings about retries

Result = TypeVar("Result")


class Retries:
    def __init__(self, transport: Transport, settings: LanguageSettings) -> None:
        self._transport = transport
        self._endpoint = transport.endpoint
        self._tries = settings.retries + 1
        self._longest = settings.timeout  # of the pauses that a server asks for
        self._random = random.Random()
        self._silent_until = 0.0  # time.monotonic()

    async def send(
        self,
        client: httpx.AsyncClient,
        request: httpx.Request,
        read: Callable[[httpx.Response], Awaitable[Result]],
        otherwise: str = "",
    ) -> Result:
        """`read` of the response, asked again where it raises UnusableError. Raises UserError in the end.

        otherwise: what the error is to say if somebody has answered, but not with what was asked for.
        """
        trouble = Trouble("", "")
        for attempt in range(self._tries):
            if attempt:
                await self._pause(attempt, trouble)
            response = await self._transport.attempt(client, request)
            if isinstance(response, Trouble):
                trouble = response
                continue
            try:
                return await read(response)
            except UnusableError as error:
                if error.at_last is not None and attempt == self._tries - 1:
                    last: Result = error.at_last
                    return last
                trouble = Trouble(f"{error}: {self._endpoint.start_of(response)}", COMPATIBLE)
        times = f"{self._tries} time{'' if self._tries == 1 else 's'}"
        more = otherwise if trouble.passing else ""
        raise self._endpoint.error(f"{trouble.what}; tried {times} (language.retries). {trouble.fix}{more}")

    async def _pause(self, attempt: int, trouble: Trouble) -> None:
        """Waits before retry `attempt`, from 1."""
        grown = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
        asked = min(trouble.pause * self._random.uniform(1.0, 1.1), self._longest)
        pause = max(grown * self._random.uniform(0.5, 1.0), asked)
        if time.monotonic() >= self._silent_until:  # many requests fail for the same reason at once
            self._silent_until = time.monotonic() + SILENCE
            more = (
                f"; the server asks for a pause of {round(trouble.pause):.6g} s, but language.timeout is the "
                "longest"
                if trouble.pause > self._longest
                else ""
            )
            tries = f"try {attempt + 1} of {self._tries}"
            log.warning("%s: %s; %s in %.1f s%s", self._endpoint.url, trouble.what, tries, pause, more)
        await asyncio.sleep(pause)
