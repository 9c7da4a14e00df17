"""Keys, proxies and certificates of the environment, with real proxies and real TLS on this machine."""

import contextlib
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from chat_server import MODEL, Server, json_reply, questions, serving

from maestromotif.config.labels import LanguageSettings
from maestromotif.errors import UserError
from maestromotif.language import backends, endpoint, retries, server
from maestromotif.language.connection import proxy_for

ELSEWHERE = "http://192.0.2.5:8000/v1"  # of a network that nobody has
ANSWERS = ["Yes", "No"]
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    for variable in ("OPENAI_API_KEY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.01)


@pytest.fixture
def running() -> Iterator[Server]:
    server = Server()
    with serving(server):
        yield server


def settings(url: str, **fields: Any) -> LanguageSettings:
    given = {"backend": "server", "model": MODEL, "url": url, "retries": 1, "timeout": 5, **fields}
    return LanguageSettings.model_validate(given)


def ask(url: str, **fields: Any) -> Any:
    return backends.open_model(settings(url, **fields)).answer_logprobs(questions(1), ANSWERS)


def refused(url: str, **fields: Any) -> str:
    """What a question is told, and the doctor as well."""
    with pytest.raises(UserError) as raised:
        ask(url, **fields)
    (found,) = server.check(settings(url, **fields))
    assert found.state == "missing"
    return f"{raised.value}\n{found.what}"


@pytest.mark.parametrize(
    ("key", "character"),
    [
        ("sk-AAAA\nsk-BBBB", "a line break (U+000A)"),
        ("sk-AAAA\r\nsk-BBBB", "a line break (U+000D)"),
        ("sk-AAAA\u200bBBBB", "ZERO WIDTH SPACE (U+200B)"),
        ("\ufeffsk-AAAABBBB", "ZERO WIDTH NO-BREAK SPACE (U+FEFF)"),
        ("sk-AAAA…", "HORIZONTAL ELLIPSIS (U+2026)"),
        ("sk-AAAAäBBBB", "LATIN SMALL LETTER A WITH DIAERESIS (U+00E4)"),
        ("Bearer sk-AAAABBBB", "a space (U+0020)"),
        ("sk-AAAA\x7fBBBB", "a control character (U+007F)"),
        ("sk-AAAA\udcffBBBB", "a byte that is not text"),
    ],
)
def test_a_key_that_no_header_can_carry_is_named_and_not_shown(
    running: Server, monkeypatch: pytest.MonkeyPatch, key: str, character: str
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    says = refused(running.url, api_key_variable="MY_KEY")
    assert says.count(character) == 2
    assert "MY_KEY: is no key" in says
    assert "AAAA" not in says
    assert "BBBB" not in says
    assert running.asked == []


def test_a_long_reply_is_searched_for_the_key_in_short_time(
    running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its start, which is what is shown; also where that ends within the key."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-" + "a1b2c3d4" * 6)
    for before in (" " * (endpoint.LOOKED_AT - 20), "sk-a1b2 " * 1_000_000):
        running.refuses_get = (400, {}, f"{before}sk-{'a1b2c3d4' * 6}".encode())
        began = time.monotonic()
        (found,) = server.check(settings(running.url))
        assert time.monotonic() - began < 3
        assert "a1b2c3d4" not in found.what


def test_white_space_around_a_key_is_left_out(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " sk-1\r\n")
    ask(running.url)
    assert running.keys == ["Bearer sk-1"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("socks5h://127.0.0.1:1080", "pip install 'httpx[socks]'"),
        ("socks5://me:hunter2@127.0.0.1:1080", "pip install 'httpx[socks]'"),
        ("socks://127.0.0.1:1080", "'socks' is no kind of proxy"),
        ("socks4://me:hunter2@127.0.0.1:1080", "'socks4' is no kind of proxy"),
        ("127.0.0.1:99999", "should be the address of a proxy"),
        ("http://me:hunter2@127.0.0.1:port", "should be the address of a proxy"),
        ("http://", "should be the address of a proxy"),
        ("http://proxy .example", "should be the address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(
    running: Server, monkeypatch: pytest.MonkeyPatch, value: str, says: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    found = refused(ELSEWHERE)
    assert found.count("ALL_PROXY: ") == found.count(says) == 2
    assert "add 192.0.2.5 to no_proxy" in found
    assert "hunter2" not in found
    ask(running.url)  # a server on this machine has no proxy


def test_which_variable_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    def variable(url: str) -> str | None:
        found = proxy_for(url)
        return found.variable if found else None

    monkeypatch.setenv("ALL_PROXY", "http://three:1")
    assert (variable("http://there/v1"), variable("https://there/v1")) == ("ALL_PROXY", "ALL_PROXY")
    monkeypatch.setenv("HTTPS_PROXY", "two:1")
    assert (variable("http://there/v1"), variable("https://there/v1")) == ("ALL_PROXY", "HTTPS_PROXY")
    monkeypatch.setenv("http_proxy", "http://one:1")
    assert variable("http://there/v1") == "http_proxy"
    monkeypatch.setenv("https_proxy", "")  # the one in capitals counts no longer
    assert variable("https://there/v1") == "ALL_PROXY"
    for here in ("127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "[::1]", "me.localhost", "0.0.0.0"):
        assert variable(f"http://{here}:8000/v1") is None, here


@pytest.mark.parametrize(
    ("exceptions", "url", "around"),
    [
        ("192.0.2.0/24", "http://192.0.2.5:8000/v1", True),
        ("192.0.2.0/24", "http://192.0.3.5:8000/v1", False),
        ("192.0.2.7/24", "http://192.0.2.5/v1", True),
        ("192.0.2.5", "http://192.0.2.5/v1", True),
        ("192.0.2", "http://192.0.2.5/v1", False),
        ("a.example, 192.0.2.0/24", "http://192.0.2.5/v1", True),
        ("2001:db8::/32", "http://[2001:db8::7]:8000/v1", True),
        ("[2001:db8::7]", "http://[2001:db8:0::7]:8000/v1", True),
        ("[2001:db8::7]:80", "http://[2001:db8:0::7]:8000/v1", False),
        ("2001:db9::/32", "http://[2001:db8::7]:8000/v1", False),
        ("example.org", "http://gpu.example.org/v1", True),
        (".example.org", "http://gpu.example.org/v1", True),
        (".example.org", "http://example.org/v1", True),
        ("*.example.org", "http://gpu.example.org/v1", True),
        ("Example.ORG.", "http://GPU.example.org./v1", True),
        ("example.org", "http://badexample.org/v1", False),
        ("example.org:8000", "http://example.org:8000/v1", True),
        ("example.org:8000", "http://example.org:9000/v1", False),
        ("example.org:443", "https://example.org/v1", True),
        ("one two", "http://two/v1", True),
        ("*", "http://anywhere/v1", True),
        ("", "http://anywhere/v1", False),
        (",, ,", "http://anywhere/v1", False),
        (".", "http://anywhere/v1", False),
    ],
)
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, exceptions: str, url: str, around: bool) -> None:
    monkeypatch.setenv("all_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", exceptions)
    assert (proxy_for(url) is None) is around
    monkeypatch.setenv("no_proxy", "")
    assert proxy_for(url) is not None


def test_what_comes_through_a_proxy(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in for a proxy answers for the server, as a cluster's does for unknown hosts."""
    place = f"http://127.0.0.1:{urlsplit(running.url).port}"
    monkeypatch.setenv("http_proxy", place.replace("//", "//me:hunter2@"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    running.refuses_get = (403, {"Content-Type": "text/html"}, b"<html>Forbidden by policy</html>")
    running.answer = lambda body: running.refuses_get or json_reply({})
    says = refused(ELSEWHERE)
    assert says.count(f"the proxy {place}, which the environment variable http_proxy names") == 2
    assert "the proxy refuses the request, or something behind it." in says
    assert "add 192.0.2.5 to no_proxy" in says
    assert "needs a key" not in says
    assert "rejects the key" not in says
    assert "hunter2" not in says
    assert "sk-secret" not in says
    running.refuses_get = json_reply({}, 502)
    says = refused(ELSEWHERE)
    assert "status 502" in says
    assert says.count(f"the proxy {place}") == 2
    running.refuses_get = json_reply({}, 407)
    says = refused(ELSEWHERE)
    assert says.count("the proxy wants a user and a password (407)") == 2
    assert "hunter2" not in says


@pytest.mark.parametrize("status", [403, 407, 501])
def test_a_proxy_that_does_not_connect(running: Server, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    place = f"http://127.0.0.1:{urlsplit(running.url).port}"
    monkeypatch.setenv("https_proxy", place)
    running.connects = status
    says = refused(ELSEWHERE.replace("http:", "https:"))
    assert says.count(f"the proxy {place}, which the environment variable https_proxy names") == 2
    assert str(status) in says


def test_a_proxy_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "http://me:hunter2@127.0.0.1:9")
    says = refused(ELSEWHERE)
    assert says.count("the proxy http://127.0.0.1:9, which the environment variable all_proxy names") == 2
    assert "hunter2" not in says


# ------------------------------------------------------------------------------------------ certificates


def made(folder: Path, name: str, days: int = 2) -> Path:
    """A certificate that nobody has signed, with its key, made now. days: of validity, from today or till."""
    key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
    asked = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    asked += ["-subj", "/CN=localhost", "-addext", f"subjectAltName={name}", "-keyout", key]
    dated = ["x509", "-in", certificate, "-signkey", key, "-days", str(days)]
    try:
        for words in (asked, dated):
            subprocess.run(["openssl", *words, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl on this machine")
    both = folder / "both.pem"
    both.write_text(Path(key).read_text() + Path(certificate).read_text())
    return both


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("certificate"), "DNS:localhost,IP:127.0.0.1")


@contextlib.contextmanager
def encrypting(certificate: Path) -> Iterator[Server]:
    server, context = Server(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that does not trust it
    with serving(server):
        yield server


@pytest.fixture
def encrypted(certificate: Path) -> Iterator[Server]:
    with encrypting(certificate) as server:
        yield server


def test_a_certificate_that_nobody_has_signed(
    encrypted: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    says = refused(encrypted.url, retries=8)
    assert time.monotonic() - began < 3  # no retries
    assert says.count("the server's certificate is not trusted: self") == 2
    assert "SSL_CERT_FILE" in says
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("certificate.pem")))
    ask(encrypted.url)


def test_a_server_without_tls(running: Server) -> None:
    says = refused(running.url.replace("http:", "https:"), retries=8)
    assert says.count("language.url should begin with http://") == 2


def test_a_certificate_of_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with encrypting(made(tmp_path, "DNS:gpu.example.org")) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        says = refused(server.url, retries=8)
        assert says.count("Set language.url to the name that its certificate has") == 2
        assert says.count("not valid for '127.0.0.1'") == 2
        by_name = server.url.replace("127.0.0.1", "localhost")
        assert "Hostname mismatch, certificate is not valid for 'localhost'" in refused(by_name, retries=8)
        assert "SSL_CERT_FILE" not in says


def test_a_certificate_that_has_expired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with encrypting(made(tmp_path, "IP:127.0.0.1", days=-1)) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        says = refused(server.url, retries=8)
    assert says.count("certificate has expired. Let it be renewed, or set this machine's clock") == 2


def test_plain_http_at_a_port_of_tls(encrypted: Server) -> None:
    began = time.monotonic()
    says = refused(encrypted.url.replace("https:", "http:"), retries=8)
    assert time.monotonic() - began < 5  # no retries
    assert says.count("the server speaks TLS at this port; language.url should begin with https://") == 2


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_gone(
    running: Server, encrypted: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "gone"))
    ask(running.url)  # needs none
    assert refused(encrypted.url).count(f"{variable}: {tmp_path / 'gone'}: ") == 2


def test_certificates_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.pem").write_text("nothing of the kind")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "some.pem"))
    assert "some.pem: holds no certificate" in refused("https://192.0.2.5/v1")
