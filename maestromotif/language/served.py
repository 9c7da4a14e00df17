"""The models that a server lists, and whether the configured one is among them."""

from collections.abc import Mapping

import httpx

from maestromotif.errors import UserError
from maestromotif.language.endpoint import Endpoint

NAMES_SHOWN = 20  # models of a server's list in an error

Served = Mapping[str, str]  # each model that a server lists -> its `owned_by`


def listed(response: httpx.Response) -> Served | None:
    """The models in a reply to /models, without entries that name none; None if the reply is not a list."""
    if not response.is_success:
        return None
    try:
        reply = response.json()
    except (ValueError, RecursionError):
        return None
    models = reply.get("data") if isinstance(reply, dict) else reply  # some servers send the bare list
    if not isinstance(models, list):
        return None
    named = [model for model in models if isinstance(model, dict) and isinstance(model.get("id"), str)]
    return {model["id"]: str(model.get("owned_by", "")) for model in named} if named or not models else None


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


def not_served(endpoint: Endpoint, served: Served) -> UserError:
    names = [endpoint.shown(name) for name in list(served)[:NAMES_SHOWN]]
    names += [f"and {len(served) - NAMES_SHOWN} more"] if len(served) > NAMES_SHOWN else []
    return endpoint.error(
        f"the server has no model '{endpoint.model}' (language.model); it has "
        f"{', '.join(names) or 'none'}. Use one of those, or start: vllm serve {endpoint.model}. If the "
        "server has it and does not list it, set language.check_model=false"
    )
