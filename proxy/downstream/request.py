"""A request as it was read from a client's connection: a plain value, but for the body, which may still be on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import StreamReader
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

if TYPE_CHECKING:
    from proxy.downstream.connection import ClientConnection


class Request:
    """One request. aiohttp's own works most of this out anew each time that it is asked."""

    __slots__ = (
        "begun", "connection", "content", "has_body", "headers", "keep_alive", "method", "raw_headers", "raw_target", "version",
    )  # fmt: skip

    def __init__(self, message: RawRequestMessage, content: StreamReader, connection: ClientConnection) -> None:
        self.connection = connection
        self.method = message.method
        self.raw_target = message.path  # as it stood in the request line
        self.raw_headers = message.raw_headers
        self.headers = message.headers
        self.version = message.version
        self.keep_alive = not message.should_close  # the client wants, or can have, another request on the connection
        self.content = content
        self.has_body = content is not EMPTY_PAYLOAD
        self.begun = False  # its response has a head: it cannot be replaced any more

    def __repr__(self) -> str:
        return f"<Request {self.method} begun={self.begun}>"
