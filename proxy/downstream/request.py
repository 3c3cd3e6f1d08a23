"""A request as it was read from a client's connection: a plain value, but for the body, which may still be on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.downstream.body import Body
from proxy.errors import ProxyError

if TYPE_CHECKING:
    from proxy.downstream.connection import ClientConnection

Fields = tuple[tuple[bytes, bytes], ...]


class Request:
    """One request, as it stood on the wire. `whole` is its body where all of it came before anybody asked for `content`."""

    __slots__ = ("_content", "begun", "connection", "keep_alive", "method", "raw_headers", "target", "version", "whole")

    def __init__(
        self, connection: ClientConnection, method: str, target: bytes, version: tuple[int, int], raw_headers: Fields
    ) -> None:
        self.connection = connection
        self.method = method
        self.target = target
        self.version = version
        self.raw_headers = raw_headers
        self.keep_alive = True  # the client wants, or can have, another request on the connection
        self.whole: bytes | None = None
        self._content: Body | None = None
        self.begun = False  # its response has a head: it cannot be replaced any more

    def __repr__(self) -> str:
        return f"<Request {self.method} begun={self.begun}>"

    @property
    def content(self) -> Body:
        """The body as it comes."""
        if self._content is None:
            self._content = Body(self.connection)
            if self.whole is not None:
                self._content.end(self.whole)
        return self._content

    @property
    def has_body(self) -> bool:
        """Whether a byte of a body has come or may come."""
        return self.whole != b""

    def complete(self, data: bytes) -> None:
        """Add *data* to the body, behind which nothing follows."""
        if self._content is None:
            self.whole = data
        else:
            self._content.end(data)

    def header(self, name: bytes) -> str | None:
        """Return the first value of the header with this lower-case name; of those that are asked for so seldom that nobody notes them."""
        for each, value in self.raw_headers:
            if each.lower() == name:
                return value.decode("utf-8", "surrogateescape")
        return None


class Unreadable(Request):
    """Stands in the line for what could not be read, and is to be answered with *error*."""

    __slots__ = ("error",)

    def __init__(self, connection: ClientConnection, error: ProxyError) -> None:
        super().__init__(connection, "UNKNOWN", b"/", (1, 0), ())
        self.keep_alive = False
        self.whole = b""
        self.error = error
