"""Where questions go: model, address, key and proxy of the configured server, and how errors tell of them."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import presets
from maestromotif.language.connection import Proxy, api_key, certificates, proxy_for, without_key
from maestromotif.language.replies import text_of

SHOWN = 200  # characters of a server's reply in an error
LOOKED_AT = 50_000  # characters of it that are looked at for the key, because that is slow
LONGEST_ESCAPE = 6  # characters that stand for one of a key, such as \u002b
SHORTEST_SECRET = 8  # characters of a key that is one; local servers are given words such as EMPTY
CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True)
class Endpoint:
    """A server, as settings and environment tell of it."""

    model: str  # as the server is to know it
    url: str
    variable: str  # the environment variable of the key
    key: str = field(repr=False)  # "": none
    proxy: Proxy | None

    @staticmethod
    def of(settings: LanguageSettings) -> "Endpoint":
        """Raises UserError if the environment has a key or a proxy that cannot be used."""
        variable = settings.api_key_variable
        model, key, proxy = presets.hub_name(settings.model), api_key(variable), proxy_for(settings.url)
        return Endpoint(model, settings.url, variable, key, proxy)

    def error(self, what: str) -> UserError:
        """An error that tells the address, and the proxy on the way: it may be what answered."""
        if self.proxy is None:
            return UserError(f"{self.url}: {what}")
        return UserError(
            f"{self.url}: {what.removesuffix('.')}. The way leads through the proxy {self.proxy.place}, "
            f"which the environment variable {self.proxy.variable} names; to go around it, add "
            f"{urlsplit(self.url).hostname} to no_proxy"
        )

    def shown(self, text: str) -> str:
        """The start of what somebody else has written, as one line that prints; the key in it is masked."""
        masked = without_key(text[:LOOKED_AT], self.key)
        if len(text) > LOOKED_AT:  # half of the key may be at the cut
            masked = masked[: -LONGEST_ESCAPE * len(self.key) or None]
        line = " ".join(masked.split())[:SHOWN]
        return "".join(one if one.isprintable() else "\ufffd" for one in line)

    def said(self, error: Exception) -> str:
        """What a library says, for an error."""
        return self.shown(str(error)) or type(error).__name__

    def start_of(self, response: httpx.Response) -> str:
        """The start of a reply, for an error."""
        text = self.shown(text_of(response))
        return repr(text) if text else "(empty)"

    def kept(self, text: str) -> str:
        """A reply's text without the key, for transcripts."""
        return text if len(self.key) < SHORTEST_SECRET else without_key(text, self.key)


def client_options(endpoint: Endpoint, settings: LanguageSettings) -> dict[str, Any]:
    """Arguments of the HTTP client. Raises UserError for an address or certificates that cannot be used."""
    proxy = endpoint.proxy
    try:
        base = httpx.URL(endpoint.url)
        if not base.host:  # read here, because it decodes an international name
            raise ValueError(endpoint.url)
        tls = certificates(proxy.url) if proxy and proxy.url.startswith("https:") else None
        way = proxy and httpx.Proxy(proxy.url, ssl_context=tls)
    except (httpx.InvalidURL, ValueError) as error:
        wrong = "language.url" if proxy is None else f"language.url or {proxy.variable}"
        raise UserError(f"{wrong}: cannot be used as an address") from error
    return {
        "base_url": base,
        "headers": {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {},
        "timeout": httpx.Timeout(settings.timeout, connect=min(CONNECT_TIMEOUT, 0.8 * settings.timeout)),
        # Each question has a connection of its own. On one that is used again, what a server sends too much
        # would be taken for the reply to the next question.
        "limits": httpx.Limits(max_connections=settings.concurrency, max_keepalive_connections=0),
        "verify": certificates(endpoint.url),
        "proxy": way,
        "trust_env": False,  # `connection` has read it
    }
