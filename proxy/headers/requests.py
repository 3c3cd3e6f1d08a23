"""Reads what a request's head says to the proxy itself, and refuses heads that can be read in two ways. Errors never repeat a peer's bytes."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from proxy.errors import BadRequest, ExpectationFailed, UnsupportedFraming, UnsupportedMedia, UnsupportedVersion
from proxy.headers.sieve import Header

Noted = Mapping[bytes, tuple[bytes, ...]]

_NOTED: Final = frozenset(
    {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"}
    | {b"content-length", b"transfer-encoding", b"expect", b"x-request-id", b"x-forwarded-for"}
    | {b"content-type", b"content-encoding", b"origin", b"host", b"cookie", b"sec-fetch-site"}
)
_NOT_IN_TARGET: Final = bytes(range(0x21)) + b"#" + bytes(range(0x7F, 0x100))
_VERSIONS: Final = frozenset({(1, 0), (1, 1)})
_SINGULAR: Final = frozenset(  # fields that have one value or none (RFC 9110 5.3)
    {b"content-length", b"content-location", b"content-range", b"content-type", b"etag", b"host", b"max-forwards", b"server"}
    | {b"transfer-encoding", b"user-agent"}
)
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# in which ASCII is not what it looks like: UTF-7 has another spelling of every key
_OTHER_CHARSET: Final = re.compile(
    rb'charset\*?[ \t]*=[ \t]*+"?+(?!(?:utf-?8|(?:us-)?ascii|iso-8859-1)"?[ \t]*(?:;|$))', re.IGNORECASE
)
_PARAMETERS: Final = b"application/x-www-form-urlencoded"
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SEPARATOR: Final = re.compile(rb"/|\\|%2f|%5c", re.IGNORECASE)
_DOT: Final = re.compile(rb"%2e", re.IGNORECASE)
_AMBIGUOUS: Final = re.compile(rb"%2e|%2f|%5c|%3b|%00|//|;", re.IGNORECASE)
# below these, a segment may be a name with escapes of its own
_OPAQUE: Final = (b"/upstream/", b"/model/", b"/v1/models/", b"/v1beta/models/", b"/openai/v1/models/", b"/openai/deployments/")

_OWS: Final = b" \t"  # RFC 9110 5.6.3; a bare strip() also takes what smugglers send


def noted(raw: Iterable[Header]) -> Noted:
    """Return the values of those request headers that the proxy itself acts on, by lower-case name, each in order."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    for name, value in raw:
        lowered = name.lower()
        if lowered in _NOTED:
            found[lowered] = (*found[lowered], value) if lowered in found else (value,)
    return found


def validate_fields(version: tuple[int, int], raw: Sequence[Header]) -> None:
    """Refuse a head without Host (RFC 9112 3.2), with a field twice that has one value, or of a protocol that sends bytes behind it.

    Raises `BadRequest`; the connection is to be closed.
    """
    names = [name.lower() for name, _ in raw]
    if version == (1, 1) and b"host" not in names:
        raise BadRequest("The request does not say which host it is for.")
    if b"sec-websocket-key1" in names:
        raise BadRequest("The request is of a WebSocket version that was given up.")
    if len(set(names)) < len(names) and any(names.count(name) > 1 for name in _SINGULAR):
        raise BadRequest("A header field is there twice that can have one value only.")


def validate_framing(version: tuple[int, int], head: Noted) -> None:
    """Refuse what the HTTP parser lets through although its length could be read in two ways (RFC 9112 6).

    Raises `UnsupportedVersion`, `BadRequest`, `UnsupportedFraming` or `ExpectationFailed`; the connection is to be closed.
    """
    if version not in _VERSIONS:
        raise UnsupportedVersion
    lengths, codings = head.get(b"content-length", ()), head.get(b"transfer-encoding", ())
    for value in lengths:
        if not value.isdigit():
            raise BadRequest("Content-Length is not a number.")
    if codings or b"expect" in head:
        _validate_rare(version, codings, head.get(b"expect", ()))
    if len(lengths) + len(codings) > 1:
        raise BadRequest("The length of the body is given more than once.")


def _validate_rare(version: tuple[int, int], codings: Iterable[bytes], expectations: Iterable[bytes]) -> None:
    for value in codings:
        _require_chunked(value)
    for value in expectations:
        if value.strip(_OWS).lower() != b"100-continue":
            raise ExpectationFailed
    if codings and version == (1, 0):
        raise BadRequest("HTTP/1.0 has no transfer encodings.")


def validate_media(head: Noted) -> None:
    """Refuse a body in which others might find something else than its bytes say: coded, in another charset, or read as parameters.

    Raises `UnsupportedMedia`.
    """
    if any(coding.lower() != b"identity" for coding in head.get(b"content-encoding", ())):
        raise UnsupportedMedia
    if not all(map(_means_its_bytes, head.get(b"content-type", ()))):
        raise UnsupportedMedia


def validate_target(raw_target: bytes) -> tuple[bytes, bytes]:
    """Return path and query (with its question mark) of an origin-form target; their sum is *raw_target*.

    Nothing is normalised: what two servers might read in two ways is refused with `BadRequest` (RFC 9112 3.2). Escapes of
    separators pass only where a path segment is a name of somebody else's (models, pass-through), dot segments nowhere.
    """
    if not raw_target.startswith(b"/") or raw_target.startswith(b"//"):
        raise BadRequest("The request target must begin with one slash.")
    if len(raw_target.translate(None, _NOT_IN_TARGET)) != len(raw_target):
        raise BadRequest("The request target contains a character that must be escaped.")
    path, mark, query = raw_target.partition(b"?")
    if b"%" in path or b"/." in path or b"//" in path or b";" in path or b"\\" in path:
        _require_one_reading(path)
    return path, mark + query


def request_id_from(head: Noted) -> str | None:
    """Return the client's own request id if there is exactly one and it is well-formed."""
    found = head.get(b"x-request-id")
    if found is None:
        return None
    return found[0].decode("ascii") if len(found) == 1 and _REQUEST_ID.fullmatch(found[0]) else None


@functools.lru_cache(maxsize=64)  # a client says the same all day
def _means_its_bytes(media_type: bytes) -> bool:
    return not _OTHER_CHARSET.search(media_type) and not media_type.lower().startswith(_PARAMETERS)


def _require_chunked(value: bytes) -> None:
    """Accept `chunked` alone. Without it at the end the length is unknowable; anything before it is not decoded here."""
    codings = [coding.strip(_OWS) for coding in value.lower().split(b",")]
    if codings == [b"chunked"]:
        return
    if codings[-1] != b"chunked" or b"" in codings or codings.count(b"chunked") > 1:
        raise BadRequest("Transfer-Encoding must be chunked.")
    raise UnsupportedFraming


def _require_one_reading(path: bytes) -> None:
    if _BAD_ESCAPE.search(path):
        raise BadRequest("The path contains an invalid escape.")
    for segment in _SEPARATOR.split(path):
        if _DOT.sub(b".", segment).partition(b";")[0] in (b".", b".."):
            raise BadRequest("The path contains a dot segment.")
    if b"\\" in path or (not path.startswith(_OPAQUE) and _AMBIGUOUS.search(path)):
        raise BadRequest("The path contains a separator in a form that is not served.")
