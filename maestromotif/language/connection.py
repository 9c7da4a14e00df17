"""What the environment says about a connection: the server's key, the proxy on the way, the certificates.

Everything is read when it is needed and checked at once. Every mistake is a UserError that names the
variable. No message has a key, a password or a proxy's user in it.

The proxy is chosen as curl does: `http_proxy` or `https_proxy` by the server's address, else `all_proxy`,
each also in capitals; `no_proxy` lists the hosts that need none. A server on this machine never has a proxy.
"""

import functools
import importlib.util
import ipaddress
import os
import re
import ssl
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from maestromotif.errors import UserError

PROXIES = ("http", "https", "socks5", "socks5h")  # kinds of proxy that the HTTP client can use


@dataclass(frozen=True)
class Proxy:
    """A proxy, and the environment variable that names it."""

    variable: str
    url: str = field(repr=False)  # may hold a user and a password: show `place`

    @property
    def place(self) -> str:
        return bare_address(self.url)


def api_key(variable: str) -> str:
    """The key in an environment variable, "" if it is unset. Raises UserError if no header can carry it."""
    key = os.environ.get(variable, "").strip()
    for place, character in enumerate(key, start=1):
        if not "!" <= character <= "~":
            raise UserError(
                f"{variable}: is no key, because its character {place} is {_name_of(character)}; a key is "
                "one word of ASCII letters, digits and signs. Copy it again, alone and on one line"
            )
    return key


def proxy_for(url: str) -> Proxy | None:
    """The proxy for a server's address. Raises UserError if it is not one that the client can use."""
    address = urlsplit(url)
    if on_this_machine(address) or _excepted(address):
        return None
    for name in (f"{address.scheme}_proxy", "all_proxy"):
        # capitals count only where the other is unset, so an empty one switches a proxy off
        variable = name if name in os.environ else name.upper()
        value = os.environ.get(variable, "").strip()
        if value:
            return Proxy(variable, _checked(variable, value, address))
    return None


def on_this_machine(address: SplitResult) -> bool:
    host = _host(address)
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return number.is_loopback or number.is_unspecified


def _checked(variable: str, value: str, server: SplitResult) -> str:
    url = value if "://" in value else f"http://{value}"
    around = f"or unset {variable}, or add {server.hostname} to no_proxy"
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number
        usable = False
    if not usable or any(character.isspace() or not character.isprintable() for character in url):
        raise UserError(
            f"{variable}: should be the address of a proxy, such as http://proxy.example:3128; correct it, "
            f"{around}"
        )
    if parts.scheme not in PROXIES:
        raise UserError(
            f"{variable}: names the proxy {bare_address(url)}, and '{parts.scheme}' is no kind of proxy that "
            f"can be used; the kinds are {', '.join(PROXIES)}. Correct it, {around}"
        )
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise UserError(
            f"{variable}: names the SOCKS proxy {bare_address(url)}, for which a package is missing. Install "
            f"it with: pip install 'httpx[socks]', {around}"
        )
    return url


def _excepted(server: SplitResult) -> bool:
    """Whether `no_proxy` names the server: its host, a domain that it is in, its network, or "*".

    https://curl.se/libcurl/c/CURLOPT_NOPROXY.html; also with a port behind the name, as other programs take
    it.
    """
    variable = "no_proxy" if "no_proxy" in os.environ else "NO_PROXY"
    host = _host(server)
    port = server.port or {"http": 80, "https": 443}[server.scheme]
    for entry in os.environ.get(variable, "").lower().replace(",", " ").split():
        if entry == "*" or _same_network(host, entry):
            return True
        name, colon, number = entry.rpartition(":")
        if colon and number.isdigit() and (":" not in name or name.startswith("[")):
            if int(number) != port:
                continue
            entry = name
        entry = entry.strip("[]").removeprefix("*").strip(".")
        if entry and (host == entry or host.endswith(f".{entry}") or _same_network(host, entry)):
            return True
    return False


def _same_network(host: str, entry: str) -> bool:
    """Whether both are numbers, and the host's is that of the entry or in its network."""
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False


def _host(address: SplitResult) -> str:
    return (address.hostname or "").rstrip(".")


def certificates(address: str) -> ssl.SSLContext:
    """The authorities that an address is checked by; none are read for one that begins with http.

    They are those of SSL_CERT_FILE and SSL_CERT_DIR, else those that come with the HTTP client. Raises
    UserError if they cannot be read.
    """
    if urlsplit(address).scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
    return _authorities(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache  # reading them is slow
def _authorities(file: str | None, folder: str | None) -> ssl.SSLContext:
    if not file and not folder:
        import certifi

        return ssl.create_default_context(cafile=certifi.where())
    if folder and not Path(folder).is_dir():  # OpenSSL would say nothing and trust nobody
        raise UserError(
            f"SSL_CERT_DIR: {folder}: is no folder; name one with certificates, or unset SSL_CERT_DIR"
        )
    try:
        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    except OSError as error:  # also ssl.SSLError
        why = error.strerror if not isinstance(error, ssl.SSLError) else "holds no certificate"
        raise UserError(
            f"SSL_CERT_FILE: {file}: {why}; name a file with certificates in the PEM form, or unset "
            "SSL_CERT_FILE"
        ) from error


def bare_address(url: str) -> str:
    """An address without the user, the password and the query that may be in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def without_key(text: str, key: str) -> str:
    """A text to show, in which a server or a library may have repeated the key, also with escapes."""
    if not key:
        return text
    ways = (
        rf"\\?{re.escape(one)}|(?i:%{ord(one):02x}|\\u{ord(one):04x}|\\x{ord(one):02x}|&#{ord(one)};)"
        for one in key
    )
    return re.sub("".join(f"(?:{way})" for way in ways), "(key)", text)


def _name_of(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte that is not UTF-8
        return "a byte that is not text"
    name = {"\n": "a line break", "\r": "a line break", "\t": "a tab", " ": "a space"}.get(character)
    return f"{name or unicodedata.name(character, 'a control character')} (U+{ord(character):04X})"
