"""Finds the one credential of a request, and says what must be stripped before anything is forwarded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from proxy.auth.reasons import Reason
from proxy.errors import Unauthenticated

Headers = Mapping[bytes, Sequence[bytes]]

MAX_TOKEN: Final = 8192  # bytes

# Sent by clients for this proxy or for a site that shares its host: none of it is an upstream's business.
CREDENTIAL_HEADERS: Final[frozenset[bytes]] = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"x-amz-security-token",
        b"proxy-authorization",
        b"cookie",
    }
)

PLACES: Final = {  # the headers that may hold a client's credential, and what they are called
    b"authorization": "authorization",
    b"x-api-key": "x-api-key",
    b"api-key": "api-key",
    b"x-goog-api-key": "x-goog-api-key",
}
QUERY: Final = "access_token"
TICKET: Final = "ticket"
COOKIE: Final = "cookie"
# The last three are what Google's APIs take beside a header.
_CREDENTIAL_PARAMETERS: Final = frozenset({b"access_token", b"ticket", b"key", b"$key", b"oauth_token"})


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client presented, unverified. `place` is the header's name in lower case, `access_token`, `ticket` or `cookie`."""

    place: str
    token: str

    def __repr__(self) -> str:
        return f"Credential(place={self.place!r}, token='***')"


class RequestHead(NamedTuple):
    """A request, as far as it tells who sends it: headers by lower-case name, path and method raw, *query* what follows the `?`."""

    headers: Headers
    method: bytes = b"GET"
    path: bytes = b"/"
    query: bytes = b""


def find_credential(request: RequestHead, *, query_token: bool = False, cookie: bytes | None = None) -> Credential | None:
    """Return the request's only credential, or None if it has none.

    The *cookie* of that name counts only where there is nothing else, because browsers send it unasked. Raises `Unauthenticated`
    for several credentials, also when they are equal, and for one that is malformed.
    """
    headers = request.headers
    place, found = "", b""
    for name, known in PLACES.items():
        if name in headers:
            if place or len(headers[name]) > 1:
                raise _several()
            place, found = known, headers[name][0]
    if request.query and request.method == b"GET":
        for known, value in _shown_in_query(request.query, query_token=query_token):
            if place:
                raise _several()
            place, found = known, value
    if not place and cookie is not None and b"cookie" in headers:
        for value in _cookies(headers[b"cookie"], cookie):
            if place:
                raise _several()  # one may have been set by a neighbour under the same domain
            place, found = COOKIE, value
    if not place:
        return None
    return Credential(place, _token(_bearer(found) if place == "authorization" else found))


def strip_credential_query(query: bytes) -> bytes:
    """Remove the parameters that may carry a credential; every other byte stays as it is.

    A name counts however it is percent-encoded, because the upstream will decode it.
    """
    if not query:
        return query
    return b"&".join([part for part in query.split(b"&") if _parameter_name(part) not in _CREDENTIAL_PARAMETERS])


def _several() -> Unauthenticated:
    return Unauthenticated(Reason.SEVERAL, "more than one credential in the request")


def _shown_in_query(query: bytes, *, query_token: bool) -> Iterator[tuple[str, bytes]]:
    for part in query.split(b"&"):
        name = _parameter_name(part)
        if name == b"ticket" or (query_token and name == b"access_token"):
            yield TICKET if name == b"ticket" else QUERY, unquote_to_bytes(part.partition(b"=")[2])


def _cookies(headers: Sequence[bytes], wanted: bytes) -> Iterator[bytes]:
    for header in headers:
        for pair in header.split(b";"):
            name, sign, value = pair.partition(b"=")
            if sign and name.strip(b" \t") == wanted:
                yield value


def _parameter_name(part: bytes) -> bytes:
    name = part.partition(b"=")[0]
    return unquote_to_bytes(name) if b"%" in name else name


def _bearer(value: bytes) -> bytes:
    """Return what follows `Bearer` (RFC 6750 section 2.1; the scheme's case is free by RFC 9110 section 11.1)."""
    scheme, _, rest = value.strip(b" \t").partition(b" ")
    lowered = scheme.lower()
    if lowered == b"bearer":
        return rest
    if lowered.startswith(b"aws4-"):
        raise Unauthenticated(
            Reason.SIGV4,
            "a SigV4 signature cannot be checked against hashed keys",
            public="AWS signatures cannot be checked here: send the proxy's own key as a bearer token (AWS_BEARER_TOKEN_BEDROCK).",
        )
    if not scheme:
        raise Unauthenticated(Reason.EMPTY, "the Authorization header is empty")
    raise Unauthenticated(Reason.SCHEME, "Authorization has another scheme than Bearer")


def _token(raw: bytes) -> str:
    raw = raw.strip(b" \t")
    if not raw:
        raise Unauthenticated(Reason.EMPTY, "the credential is empty")
    if len(raw) > MAX_TOKEN:
        raise Unauthenticated(Reason.OVERSIZED, f"the credential is longer than {MAX_TOKEN} bytes")
    token = raw.decode("latin-1")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Unauthenticated(Reason.MALFORMED, "the credential holds bytes that no credential has")
    return token
