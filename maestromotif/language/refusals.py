"""Why a server has refused a question for good, and what to do: one error for each status."""

import contextlib

import httpx

from maestromotif.errors import UserError
from maestromotif.language.connection import bare_address
from maestromotif.language.endpoint import Endpoint
from maestromotif.language.replies import is_json, text_of
from maestromotif.language.served import Served, not_served, serves

TOO_LONG = ("context length", "context size", "context window", "too long")  # of a prompt, as servers say


def refusal(endpoint: Endpoint, response: httpx.Response, served: Served | None = None) -> UserError:
    """The error for a response whose status is not 200. served: what the server lists, if it was asked."""
    status, says = response.status_code, f"status {response.status_code}: {endpoint.start_of(response)}"
    if response.has_redirect_location:
        return _sent_on(endpoint, response)
    if status in (401, 403):
        return _kept_out(endpoint, response, says)
    if status == 404:
        if served is not None and not serves(served, endpoint.model):
            return not_served(endpoint, served)
        return endpoint.error(
            f"no chat completions for '{endpoint.model}' at this address; language.url should look like "
            f"http://127.0.0.1:8000/v1. The server says {says}"
        )
    if any(words in text_of(response).lower() for words in TOO_LONG):
        return endpoint.error(
            "a prompt is too long for the server's context. Start the server with a longer one "
            f"(vllm serve {endpoint.model} --max-model-len N). It says {says}"
        )
    if "logprobs" in text_of(response):
        return endpoint.error(
            "the server does not give as many log-probabilities as are asked for, or none. Set "
            "language.top_logprobs to its limit, or name a model for which it gives them. It says " + says
        )
    return endpoint.error(f"the server refused the request. It says {says}")


def _sent_on(endpoint: Endpoint, response: httpx.Response) -> UserError:
    to = endpoint.shown(response.headers["Location"])
    with contextlib.suppress(httpx.InvalidURL, ValueError):
        to = bare_address(str(response.url.join(to)))
    return endpoint.error(
        f"the server sends requests on to {to} (status {response.status_code}), where the key would go too; "
        "set language.url to the address that answers"
    )


def _kept_out(endpoint: Endpoint, response: httpx.Response, says: str) -> UserError:
    where = f"the environment variable {endpoint.variable} (language.api_key_variable)"
    # a page of a gateway
    if not is_json(response) and (endpoint.proxy is not None or response.status_code == 403):
        who = "the server" if endpoint.proxy is None else "the proxy"
        return endpoint.error(
            f"{who} refuses the request, or something behind it. If that wants a key, put it in {where}. It "
            f"says {says}"
        )
    reason = "rejects the key in" if endpoint.key else "needs a key; put it in"
    return endpoint.error(f"the server {reason} {where}. It says {says}")
