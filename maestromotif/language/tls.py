"""Encrypted connections that fail: what went wrong, and what would help."""

import asyncio
import ssl
from urllib.parse import urlsplit

from maestromotif.errors import UserError
from maestromotif.language.endpoint import Endpoint

HANDSHAKE_TIMEOUT = 3.0

# OpenSSL's X509_V_ERR_... -> what helps where a certificate's authority is not the trouble.
_NAME = "Set language.url to the name that its certificate has"
_DATE = "Let it be renewed, or set this machine's clock if that is wrong"
CERTIFICATE_FIXES = {62: _NAME, 64: _NAME, 9: _DATE, 10: _DATE}


def not_trusted(endpoint: Endpoint, error: ssl.SSLError) -> UserError:
    if isinstance(error, ssl.SSLCertVerificationError):
        fix = CERTIFICATE_FIXES.get(
            error.verify_code,
            "Set the environment variable SSL_CERT_FILE to a file that holds its authority's certificate",
        )
        says = endpoint.shown(error.verify_message)
        return endpoint.error(f"the server's certificate is not trusted: {says}. {fix}")
    return endpoint.error(
        f"the server does not speak TLS as it should ({endpoint.said(error)}); if it speaks none, "
        "language.url should begin with http://"
    )


async def speaks_tls(endpoint: Endpoint) -> bool:
    """Whether a server with an http address speaks TLS all the same."""
    address = urlsplit(endpoint.url)
    if address.scheme == "https" or endpoint.proxy is not None:
        return False
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            _, writer = await asyncio.open_connection(address.hostname, address.port or 80, ssl=anybody)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


def encrypted(endpoint: Endpoint) -> UserError:
    return endpoint.error("the server speaks TLS at this port; language.url should begin with https://")
