"""A language model behind an OpenAI-compatible server: `vllm serve`, llama.cpp's server, and others.

Up to `language.concurrency` requests run at once; answers are returned in the order asked. Temporary errors
are retried with exponential backoff: no connection, too many requests (429), server errors (5xx), timeouts,
incomplete replies. Permanent errors (400, 401, 404, redirects, certificates) are not retried. The first
request that fails for good ends the call. Callers save their answers chunk by chunk, so they lose one call's
answers.

The same questions may give different bits, because servers batch requests as they arrive.
"""

import asyncio
import logging
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
from jaxtyping import Float64

from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import Finding, UserError
from maestromotif.language import presets
from maestromotif.language.endpoint import CONNECT_TIMEOUT, Endpoint
from maestromotif.language.hub import identity
from maestromotif.language.model import Chat, match, well_formed
from maestromotif.language.refusals import refusal
from maestromotif.language.replies import Choice, UnusableError, held_back
from maestromotif.language.retries import Retries
from maestromotif.language.served import Served, listed, not_served, serves
from maestromotif.language.templates import ARGUMENTS
from maestromotif.language.transport import Transport, Trouble

log = logging.getLogger("maestromotif")

__all__ = ["ServerModel", "check", "identity", "load", "served_models"]

MODELS_TOLD = 5  # other models that have answered, in warnings
RENDERERS = ("vllm", "llamacpp")  # servers (by `owned_by`) that pass arguments on to chat templates

Body = dict[str, Any]

# Server (by `owned_by`) -> the fields that tell it a grammar.
GRAMMARS: dict[str, Callable[[str], Body]] = {
    "vllm": lambda grammar: {"structured_outputs": {"grammar": grammar}},
    "llamacpp": lambda grammar: {"grammar": grammar},
}


class ServerModel:
    """The constructor sends nothing; the first call asks the server which models it serves.

    Raises UserError if the environment has a key, a proxy or certificates that cannot be used.
    """

    def __init__(self, settings: LanguageSettings, digest: str, licence: str) -> None:
        self.name = settings.model
        self.digest = digest
        self.licence = licence
        self._settings = settings
        self._endpoint = Endpoint.of(settings)
        self._checked = not settings.check_model
        self._told = {self._endpoint.model}  # models that replies have named
        self._gives_logprobs = False  # whether a reply had any
        self._owner = ""  # who serves the model, as the server says (`owned_by`)
        self._extra: Body = {}  # fields beyond OpenAI's, for servers that accept them
        self._transport = Transport(self._endpoint, settings)
        self._retries = Retries(self._transport, settings)

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
            async with self._transport.client() as client:
                response = await self._list(client)
                served = listed(response)
                if served is not None:
                    return served
                if response.status_code in (401, 403) or response.has_redirect_location:
                    raise refusal(self._endpoint, response)
                await self._check_place(client, response)
                raise self._endpoint.error(
                    f"the server lists no models; it answered /models with status {response.status_code}: "
                    f"{self._endpoint.start_of(response)}"
                )

        return asyncio.run(ask())

    def reach(self) -> None:
        """Raises UserError for what no wait would change: no server, a wrong key, another model.

        A server that is busy, or that lists no models to this key, is trusted.
        """

        async def ask() -> None:
            async with self._transport.client() as client:
                response = await self._transport.attempt(client, client.build_request("GET", "/models"))
                if isinstance(response, Trouble):
                    if not response.passing:
                        raise self._endpoint.error(f"{response.what}. {response.fix}")
                elif response.status_code == 401 or response.has_redirect_location:
                    raise refusal(self._endpoint, response)
                else:
                    self._check_list(response)
                    await self._check_place(client, response)

        asyncio.run(ask())

    def _check_list(self, response: httpx.Response) -> None:
        """Raises UserError for a list without the configured model."""
        if (served := listed(response)) is not None and not self._has(served):
            raise not_served(self._endpoint, served)

    async def _check_place(self, client: httpx.AsyncClient, response: httpx.Response) -> None:
        """Raises UserError if there is no list of models at the address, but one at /v1 below it."""
        if response.status_code == 404:
            below = await self._transport.attempt(client, client.build_request("GET", "/v1/models"))
            if not isinstance(below, Trouble) and listed(below) is not None:
                url = f"{self._endpoint.url}/v1"
                raise self._endpoint.error(f"the server is at {url}; set language.url to that address")

    def _has(self, served: Served) -> bool:
        """Whether a list has the configured model, or may leave it out."""
        return not self._settings.check_model or serves(served, self._endpoint.model)

    def _body(self, prompt: Chat) -> Body:
        messages = [{**message, "content": well_formed(message["content"])} for message in prompt]
        body: Body = {"model": self._endpoint.model, "messages": messages}
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

        async with self._transport.client() as client:
            await self._check_served(client)
            try:
                async with asyncio.TaskGroup() as group:  # cancels the others when one fails
                    for _ in range(min(self._settings.concurrency, len(bodies))):
                        group.create_task(ask_one_after_the_other(client))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
            await self._check_still_served(client)
        return [found[number] for number in range(len(bodies))]

    def _held_to(self, grammar: str | None) -> Body:
        """The fields by which the server that answers is told a grammar."""
        return {} if grammar is None or self._owner not in GRAMMARS else GRAMMARS[self._owner](grammar)

    async def _ask(self, client: httpx.AsyncClient, body: Body) -> Choice:
        """The reply to one question. Raises UserError if it fails for good."""
        last = body["messages"][-1]
        begun = str(last["content"]) if last["role"] == "assistant" else ""

        async def read(response: httpx.Response) -> Choice:
            if held_back(response):
                return Choice("", [], silent=True)
            if not response.is_success:
                served = listed(await self._list(client)) if response.status_code == 404 else None
                raise refusal(self._endpoint, response, served)
            choice = Choice.read(response, begun)
            self._check_answered_by(choice.by)
            self._gives_logprobs |= choice.rated
            if body.get("logprobs") and not (choice.rated or choice.silent):
                if self._gives_logprobs:  # one of several behind a gateway may not, or a filter has written
                    raise UnusableError("the reply has no log-probabilities, but others had", choice)
                raise self._endpoint.error(
                    "the reply has no log-probabilities, which captions are judged by; vLLM and llama.cpp's "
                    "server give them for every model, other servers only for some"
                )
            return replace(choice, text=self._endpoint.kept(choice.text))

        request = client.build_request("POST", "/chat/completions", json=body)
        return await self._retries.send(client, request, read)

    def _check_answered_by(self, model: str) -> None:
        """Warns once of every other model than the configured one that has answered, and of few of many."""
        if model and model not in self._told and len(self._told) <= MODELS_TOLD:
            self._told.add(model)
            log.warning(
                "%s: asked for '%s', and the server says that '%s' answers. If that is another model, the "
                "run's manifest names the wrong one",
                *(self._endpoint.url, self._endpoint.model, self._endpoint.shown(model)),
            )

    async def _check_served(self, client: httpx.AsyncClient) -> None:
        """Checks before the first question that the server serves the configured model.

        Some servers answer with the model that they have even if the request names another; the manifest
        would then name the wrong model. A server that does not list its models is trusted.
        """
        if self._checked:
            return
        response = await self._list(client)
        self._check_list(response)
        self._owner = (listed(response) or {}).get(self._endpoint.model, "")
        if self._owner in RENDERERS:
            self._extra = {"chat_template_kwargs": ARGUMENTS}
        self._checked = True

    async def _check_still_served(self, client: httpx.AsyncClient) -> None:
        """Checks after the last question of a call that the server was not started with another model since.

        A server that does not answer this question at once has still answered the others.
        """
        if self._settings.check_model:
            response = await self._transport.attempt(client, client.build_request("GET", "/models"))
            if not isinstance(response, Trouble):
                self._check_list(response)

    async def _list(self, client: httpx.AsyncClient) -> httpx.Response:
        """The reply to the question for the list of models."""
        request = client.build_request("GET", "/models")
        unlisted = " A server that lists no models can be used with language.check_model=false."
        return await self._retries.send(client, request, _whole, unlisted)


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
        yield Finding("missing", str(not_served(model._endpoint, served)), start)


def served_models(settings: LanguageSettings) -> list[str]:
    """Names of the models that the server at `language.url` lists. Raises UserError if it gives no list."""
    return list(load(_once(settings)).models())


def _once(settings: LanguageSettings) -> LanguageSettings:
    """The settings for a look at the server: no retries, and a short time for all of it."""
    return settings.model_copy(update={"retries": 0, "timeout": min(CONNECT_TIMEOUT, settings.timeout)})


async def _whole(response: httpx.Response) -> httpx.Response:
    return response
