"""Calls of servers outside of the platform: the documents of token issuers, and webhooks.

Connections are kept and shared by all callers. What an answer may take is bounded in time and in bytes. Redirects are not
followed, answers are not decompressed, and the environment names no proxy.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

CONNECTIONS_MAX = 512
CONNECTIONS_TO_ONE_SERVER_MAX = 64
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0


class CallFailed(Exception):
    """There is no answer; the text says why. `timed_out`: the time was over. `reset`: the connection ended, and another call
    may succeed."""

    def __init__(self, text: str, *, timed_out: bool = False, reset: bool = False) -> None:
        super().__init__(text)
        self.timed_out = timed_out
        self.reset = reset


class CallAnswer(NamedTuple):
    """`headers` by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Calls:
    """The pool of connections of a process. It opens nothing before the first call. Call `close`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        url: str,
        *,
        tls: ssl.SSLContext,
        timeout_seconds: float,
        answer_bytes: int,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        server_name: str = "",
    ) -> CallAnswer:
        """The whole answer, of at most `answer_bytes`. `server_name`: the name in the server's certificate where it is not that
        of the URL. Raises CallFailed."""
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._opened().request(
                    method,
                    url,
                    headers={"Accept-Encoding": "identity", **(headers or {})},
                    data=body,
                    ssl=tls,
                    server_hostname=server_name or None,
                    allow_redirects=False,
                ) as answer,
            ):
                content = await _read(answer, answer_bytes)
                return CallAnswer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, content)
        except TimeoutError:
            raise CallFailed(f"no answer in {timeout_seconds:g} seconds", timed_out=True) from None
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise CallFailed(f"TLS: {_not_connected(error)}") from None
        except aiohttp.ClientConnectorError as error:
            # client-go does not call a refused connection a reset.
            raise CallFailed(_not_connected(error)) from None
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError) as error:
            raise CallFailed(str(error), reset=True) from None
        except aiohttp.ClientResponseError:
            # Its text has what was read, which may be the greeting of any server.
            raise CallFailed("the answer is not HTTP") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallFailed(str(error) or type(error).__name__) from None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS_MAX, limit_per_host=CONNECTIONS_TO_ONE_SERVER_MAX, keepalive_timeout=IDLE_SECONDS
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


def _not_connected(error: aiohttp.ClientConnectorError) -> str:
    # aiohttp's own text has the address of the SSLContext in memory.
    return f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror or error.os_error}"


async def _read(answer: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > limit_bytes:
            raise CallFailed(f"the answer has more than {limit_bytes} bytes")
    return bytes(content)


def client_context(ca_pem: str = "", *, certificate_file: str = "", key_file: str = "", insecure: bool = False) -> ssl.SSLContext:
    """The TLS context of a client. `ca_pem`: the CAs that it trusts, the system's where it is empty. Reading those takes tens of
    milliseconds: call it in a thread. Raises OSError, ssl.SSLError, ValueError (a file or the PEM cannot be used)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_pem:
        context.load_verify_locations(cadata=ca_pem)
    else:
        context.load_default_certs()
    if certificate_file:
        context.load_cert_chain(certificate_file, key_file or None)
    return context
