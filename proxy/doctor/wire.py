"""The doctor's own client: one connection for each request, no retry, no redirect, no cookie, and a plain sentence for each failure."""

from __future__ import annotations

import asyncio
import errno
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, Self

import aiohttp
from aiohttp import ClientTimeout, DummyCookieJar, TCPConnector, TraceConfig, hdrs
from yarl import URL

from proxy.doctor.target import MASK

HEAD_LIMIT: Final = 65536  # bytes of one header of an answer
SECRET: Final = 8  # characters from which on the value of a header may be one
_SILENT: Final = (hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE)
_NO_TIMEOUT: Final = ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
_ERRNOS: Final = {
    errno.ECONNREFUSED: "nothing listens there (connection refused)",
    errno.EHOSTUNREACH: "no way leads to that host (host unreachable)",
    errno.ENETUNREACH: "no way leads to that network (network unreachable)",
    errno.ETIMEDOUT: "the connection attempt was never answered",
    errno.ECONNRESET: "the connection was reset before an answer came",
}


class Unreachable(Exception):
    """No answer; the message is one sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Answer:
    """An answer whose head is in. Times are in seconds since the request."""

    def __init__(
        self, response: aiohttp.ClientResponse, began: float, connected: float | None, clock: Callable[[], float]
    ) -> None:
        self.status = response.status
        self.headers_at = clock() - began
        self.connected_at = None if connected is None else connected - began
        self.headers = _joined(response.headers)
        version = response.version
        self.version = "" if version is None else f"{version.major}.{version.minor}"
        self.tls = _tls(response)
        self._response = response
        self._began = began
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Answer {self.status}>"

    @property
    def now(self) -> float:
        """Seconds since the request."""
        return self._clock() - self._began

    async def piece(self) -> bytes:
        """Return what has come of the body, as soon as there is something; nothing at its end. Raises Unreachable where it breaks off."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise Unreachable("the connection ended in the middle of the answer") from exc

    async def whole(self, limit: int) -> bytes:
        """Return the rest of the body, or as much of it as makes *limit* bytes. Raises Unreachable where it breaks off."""
        body = b""
        while len(body) < limit and (piece := await self.piece()):
            body += piece
        return body


class Wire:
    """Asks with one credential. Use it as `async with Wire(…) as wire`."""

    def __init__(self, *, tls: ssl.SSLContext, headers: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._headers = headers
        self._tls = tls
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        trace = TraceConfig()
        trace.on_connection_create_end.append(self._connected)
        self._session = aiohttp.ClientSession(
            connector=TCPConnector(limit=0, force_close=True, ssl=self._tls),
            cookie_jar=DummyCookieJar(),
            timeout=_NO_TIMEOUT,
            auto_decompress=False,
            raise_for_status=False,
            skip_auto_headers=_SILENT,
            trust_env=False,
            max_line_size=HEAD_LIMIT,
            max_field_size=HEAD_LIMIT,
            trace_configs=[trace],
            middlewares=(_once,),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def open(self, ask: Ask, *, within: float) -> AsyncIterator[Answer]:
        """Send *ask* and lend its answer as soon as the head is in, which may take *within* seconds. Raises Unreachable.

        The connection is closed at the end of the block, whatever is left of the answer.
        """
        began, noted = self._clock(), SimpleNamespace(connected=None)
        try:
            async with asyncio.timeout(within):
                response = await self._request(ask, noted)
        except TimeoutError as exc:
            raise Unreachable(f"no answer came within {within:g} s") from exc
        except (aiohttp.ClientError, ValueError) as exc:
            raise Unreachable(sentence(exc)) from exc
        try:
            yield Answer(response, began, noted.connected, self._clock)
        finally:
            response.close()

    def masked(self, text: str) -> str:
        """Return what a server has sent without the credentials that it was sent, should it repeat them."""
        secrets = (value.rpartition(" ")[2] for value in self._headers.values())
        for secret in secrets:
            text = text.replace(secret, MASK) if len(secret) >= SECRET else text
        return text

    async def _request(self, ask: Ask, noted: SimpleNamespace) -> aiohttp.ClientResponse:
        assert self._session is not None
        return await self._session.request(
            ask.method,
            URL(ask.url, encoded=True),
            headers={**self._headers, **ask.headers},
            data=ask.body or None,
            allow_redirects=False,
            trace_request_ctx=noted,
        )

    async def _connected(self, _session: object, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.connected = self._clock()


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send it, and let no failure through that aiohttp would answer by sending it again, as it does with a GET."""
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise Unreachable(sentence(exc)) from exc


def sentence(error: Exception) -> str:
    """Say in one sentence why there was no answer."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not trusted ({_why(error.certificate_error)}): --cafile FILE names its authority, --insecure does without"
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} is not known"
        case aiohttp.ClientConnectorSSLError():
            return "TLS cannot be agreed on: is this the port for https?"
        case aiohttp.ClientConnectorError():
            return _ERRNOS.get(error.errno or 0, "the connection cannot be made")
        case aiohttp.ClientResponseError():
            return "what answers there does not speak HTTP: is this the right port, and is it http or https?"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed without an answer"
        case OSError():
            return _ERRNOS.get(error.errno or 0, "the connection broke before an answer came")
    return "the request cannot be sent: look at the URL and the headers"


def _why(error: Any) -> str:
    return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else "it cannot be verified"


def _joined(headers: Mapping[str, str]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers.items():
        lowered = name.lower()
        joined[lowered] = f"{joined[lowered]}, {value}" if lowered in joined else value
    return joined


def _tls(response: aiohttp.ClientResponse) -> str | None:
    connection = response.connection
    transport = None if connection is None else connection.transport
    secured: ssl.SSLObject | None = None if transport is None else transport.get_extra_info("ssl_object")
    return None if secured is None else secured.version()
