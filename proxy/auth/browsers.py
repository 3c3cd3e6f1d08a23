"""What a browser says about the page that a request comes from, and which pages may use a cookie or a ticket.

For editors: a page can make its visitor's browser send almost any request, with cookies, but it can choose neither Origin nor
Sec-Fetch-Site. Whoever is no browser can, and needs no cookie for it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from proxy.auth.credential import Headers, RequestHead

MAX_ORIGIN: Final = 512  # bytes, more than any host name has
_SITE: Final = b"sec-fetch-site"
_UNTOLD: Final = (b"none",)  # also what is said of a request that no page has made
_SAME_ORIGIN: Final = (b"same-origin",)
_OURS: Final = (_SAME_ORIGIN, (b"same-site",), _UNTOLD)
_READING: Final = (b"GET", b"HEAD")
_SCHEMES: Final = ("http", "https")


def told_origin(headers: Headers) -> str | None:
    """Return the Origin of a request; None if it has none. Two of them together are nobody's, and so is one that had to be cut."""
    values = headers.get(b"origin")
    return None if values is None else b", ".join(values)[:MAX_ORIGIN].decode("latin-1")


def from_own_page(headers: Headers) -> bool:
    """Tell whether the page behind a request with an Origin is of this proxy's own origin.

    Sec-Fetch-Site knows. Without it (an old browser, or plain http) the Origin must name the authority that Host names: which
    scheme the browser sees is not known behind a server that ends TLS.
    """
    if _SITE in headers:
        return headers[_SITE] == _SAME_ORIGIN
    scheme, _, authority = (told_origin(headers) or "").partition("://")
    return scheme in _SCHEMES and headers.get(b"host") == (authority.encode("latin-1"),)


def may_use_cookie(request: RequestHead, origins: Collection[str]) -> bool:
    """Tell whether the page behind *request* may use its visitor's cookie: one of *origins*, or of the proxy itself.

    Without an Origin the request must be one that changes nothing, and not known to come from another site.
    """
    origin = told_origin(request.headers)
    if origin is None:
        return request.method in _READING and request.headers.get(_SITE, _UNTOLD) in _OURS
    return origin in origins or from_own_page(request.headers)


def is_page_of(headers: Headers, origin: str | None, *, own: bool) -> bool:
    """Tell whether a request comes from the page of *origin*; None: from anywhere.

    To their *own* origin, the proxy's, pages send a GET without Origin.
    """
    told = told_origin(headers)
    if origin is None or told == origin:
        return True
    return told is None and own and headers.get(_SITE, _SAME_ORIGIN) == _SAME_ORIGIN
