"""The page that shows in a browser whether a path streams: one document, which may load and run nothing but its own parts."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from proxy.downstream import Sent
from proxy.handler.call import Call

_PART: Final = re.compile(rb'<link rel="stylesheet" href="([\w.]+)">|<script src="([\w.]+)"></script>')


@dataclass(frozen=True, slots=True)
class Document:
    """The whole page with its headers; none of it depends on who asks."""

    body: bytes
    etag: bytes
    policy: bytes

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What goes with the page, and with the word that it is still the same."""
        return [
            (b"ETag", self.etag),
            (b"Cache-Control", b"no-cache"),  # kept, but asked about before each use: it belongs to this version of the proxy
            (b"Content-Security-Policy", self.policy),
            (b"Referrer-Policy", b"no-referrer"),
            (b"X-Content-Type-Options", b"nosniff"),
        ]


def stream_check(call: Call) -> Sent:
    """Answer with the page, or with a 304 if the browser has it. It is public: the stream that it asks for is not."""
    page = document()
    if page.etag.decode() in (call.request.header(b"if-none-match") or ""):
        call.exchange.status = 304
        return call.downstream.answer(304, [*page.headers, *call.response_headers], b"")
    call.exchange.status = 200
    return call.downstream.answer(
        200, [(b"Content-Type", b"text/html; charset=utf-8"), *page.headers, *call.response_headers], page.body
    )


@functools.cache
def document() -> Document:
    """Put the page together, once."""
    return assembled(resources.files("proxy.handler") / "web")


def assembled(folder: Traversable) -> Document:
    """Return the page in *folder*, with its style and scripts inside it and a policy that names each by its hash."""
    allowed: dict[bytes, list[str]] = {b"style": [], b"script": []}

    def inline(named: re.Match[bytes]) -> bytes:
        kind = b"style" if named[1] else b"script"
        part = (folder / (named[1] or named[2]).decode()).read_bytes()
        allowed[kind].append(f"'sha256-{base64.b64encode(hashlib.sha256(part).digest()).decode()}'")
        return b"<%b>%b</%b>" % (kind, part, kind)

    body = _PART.sub(inline, (folder / "stream_check.html").read_bytes())
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src data:; style-src {' '.join(allowed[b'style'])}; "
        f"script-src {' '.join(allowed[b'script'])}; require-trusted-types-for 'script'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Document(body, b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode(), policy.encode())
