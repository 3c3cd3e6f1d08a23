"""Decides which bytes of a message head may pass the proxy, in which direction, and which heads are refused.

`Outbound` is the request on its way to one upstream, `Inbound` the answer on its way back. Both strip first; what the
proxy itself has to say is added by the caller afterwards, so that no `Connection` header of a peer can remove it.
Names keep their case, values their bytes, the rest its order and its duplicates. Errors never repeat a peer's bytes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from proxy.errors import BadRequest, ExpectationFailed, UnsupportedFraming, UnsupportedVersion, UpstreamMalformed

Header = tuple[bytes, bytes]
Noted = Mapping[bytes, tuple[bytes, ...]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CREDENTIALS: Final = frozenset(
    {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"}
    # parts of a signature made with the client's own AWS key, which is never the upstream's
    | {b"x-amz-security-token", b"x-amz-date", b"x-amz-content-sha256"}
)

_NOTED: Final = frozenset(
    {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"}
    | {b"content-length", b"transfer-encoding", b"expect", b"x-request-id", b"x-forwarded-for"}
)
_HOP_BY_HOP: Final = frozenset(  # RFC 9110 7.6.1; the last three belong to a connection although they are not listed there
    {b"connection", b"proxy-connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
    | {b"proxy-authenticate", b"proxy-authorization", b"proxy-authentication-info"}
)
_WHO_IS_CALLING: Final = frozenset(  # who asks is no business of an LLM provider
    {b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-original-forwarded-for"}
    | {b"true-client-ip", b"cf-connecting-ip", b"cf-connecting-ipv6", b"fly-client-ip", b"x-envoy-external-address"}
)
_SET_ANEW: Final = frozenset({b"host", b"content-length", b"expect", b"accept-encoding", b"x-request-id"})
_BROWSER: Final = frozenset({b"cookie", b"origin"})
_SCENARIO: Final = b"x-test-scenario"
_FORWARDED: Final = b"x-forwarded-"
_CORS: Final = b"access-control-"
_DIGESTS: Final = frozenset({b"content-digest", b"repr-digest", b"digest", b"content-md5"})
_FROM_UPSTREAM: Final = _HOP_BY_HOP | {b"content-length", b"alt-svc", b"x-request-id"}
_OF_STREAMS: Final = frozenset({b"content-type", b"cache-control", b"x-accel-buffering"})
_KEEP_ALIVE_OR_CLOSE: Final = frozenset({b"keep-alive", b"close", b""})

_OWS: Final = b" \t"  # RFC 9110 5.6.3; a bare strip() also takes what smugglers send
_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CONTROL: Final = bytes(byte for byte in range(0x20) if byte != 0x09) + b"\x7f"
_NOT_IN_TARGET: Final = bytes(range(0x21)) + b"#" + bytes(range(0x7F, 0x100))
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SEPARATOR: Final = re.compile(rb"/|\\|%2f|%5c", re.IGNORECASE)
_DOT: Final = re.compile(rb"%2e", re.IGNORECASE)
_AMBIGUOUS: Final = re.compile(rb"%2e|%2f|%5c|%3b|%00|//|;", re.IGNORECASE)
# below these, a segment may be a name with escapes of its own
_OPAQUE: Final = (b"/upstream/", b"/model/", b"/v1/models/", b"/v1beta/models/", b"/openai/v1/models/", b"/openai/deployments/")
_MOST_HOPS: Final = 32
_MOST_KNOWN: Final = 1024  # peers choose names and addresses: what is remembered of them is bounded
_LONGEST_PATTERN: Final = 2048


class Outbound:
    """The request headers that go to one upstream.

    *replaced* names (lower case) are those that the caller sets itself, on top of those that are always stripped.
    A *transparent* upstream gets Cookie and Origin, but for the *token_cookie* that may carry the client's credential;
    a *simulator* gets X-Test-Scenario.
    """

    __slots__ = ("_sieve", "_token_cookie")

    def __init__(
        self,
        replaced: Iterable[bytes] = (),
        *,
        transparent: bool = False,
        simulator: bool = False,
        token_cookie: bytes | None = None,
    ) -> None:
        drop = CREDENTIALS | _HOP_BY_HOP | _WHO_IS_CALLING | _SET_ANEW | frozenset(replaced)
        drop |= (frozenset() if transparent else _BROWSER) | (frozenset() if simulator else {_SCENARIO})
        self._sieve = _Sieve(drop, _FORWARDED)
        self._token_cookie = token_cookie

    def forwardable(self, raw: Sequence[Header]) -> list[Header]:
        """Return what of a client's headers may pass. Raises `BadRequest` for a name or value that is none."""
        kept = self._sieve.passed(raw)
        if kept is None:
            raise BadRequest("A header name or value contains a character that is not allowed.")
        return kept if self._token_cookie is None else _without_cookie(kept, self._token_cookie)


class ResponseHead(NamedTuple):
    """An upstream's headers as the client may have them. Framing and request id are said anew by the proxy."""

    headers: list[Header]
    content_length: int | None  # as declared; only metadata where there is no body (HEAD, 304)


class Inbound:
    """The response headers of one upstream; those of a *transparent* one keep Access-Control-*."""

    __slots__ = ("_sieve",)

    def __init__(self, *, transparent: bool = False) -> None:
        self._sieve = _Sieve(_FROM_UPSTREAM, None if transparent else _CORS)

    def deliverable(self, raw: Sequence[Header], fields: Mapping[bytes, bytes], *, body_may_change: bool) -> ResponseHead:
        """Return what of an upstream's headers may pass, Set-Cookie included: it is for this client only, never kept.

        A body that may change loses its digests and strong ETag. Raises `UpstreamMalformed`: a control character would
        make aiohttp close the connection without any answer.
        """
        kept = self._sieve.passed(raw)
        if kept is None:
            raise UpstreamMalformed("control character or invalid name in a response header")
        if body_may_change:
            kept = [pair for pair in kept if not _names_these_bytes(*pair)]
        length = fields.get(b"content-length")
        return ResponseHead(kept, None if length is None else _declared_length(length))


def stream_headers(delivered: Iterable[Header] = ()) -> list[Header]:
    """Return the headers of an event stream: *delivered* ones, and those that keep every hop from holding it back.

    Without arguments: those of a stream that is committed before any upstream has answered.
    """
    kept: list[Header] = []
    content_type = b"text/event-stream; charset=utf-8"
    for name, value in delivered:
        lowered = name.lower()
        if lowered == b"content-type":
            content_type = value
        if lowered not in _OF_STREAMS:
            kept.append((name, value))
    kept += [
        (b"Content-Type", content_type),
        (b"Cache-Control", b"no-cache, no-transform"),
        (b"X-Accel-Buffering", b"no"),
    ]
    return kept


def noted(raw: Iterable[Header]) -> Noted:
    """Return the values of those request headers that the proxy itself acts on, by lower-case name, each in order."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    for name, value in raw:
        lowered = name.lower()
        if lowered in _NOTED:
            found[lowered] = (*found[lowered], value) if lowered in found else (value,)
    return found


def validate_framing(version: tuple[int, int], head: Noted) -> None:
    """Refuse what the HTTP parser lets through although its length could be read in two ways (RFC 9112 6).

    Raises `UnsupportedVersion`, `BadRequest`, `UnsupportedFraming` or `ExpectationFailed`; the connection is to be closed.
    """
    if version not in ((1, 0), (1, 1)):
        raise UnsupportedVersion
    lengths = head.get(b"content-length", ())
    codings = head.get(b"transfer-encoding", ())
    for value in lengths:
        if not value.isdigit():
            raise BadRequest("Content-Length is not a number.")
    for value in codings:
        _require_chunked(value)
    for value in head.get(b"expect", ()):
        if value.strip(_OWS).lower() != b"100-continue":
            raise ExpectationFailed
    if len(lengths) + len(codings) > 1:
        raise BadRequest("The length of the body is given more than once.")
    if codings and version == (1, 0):
        raise BadRequest("HTTP/1.0 has no transfer encodings.")


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


class TrustedProxies:
    """The networks whose X-Forwarded-For is believed."""

    __slots__ = ("_known", "_networks")

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)
        self._known: dict[str, bool] = {}  # the same few proxies ask all the time

    def client_address(self, peer: str, head: Noted) -> str:
        """Return the right-most hop that is no trusted proxy, or the last one that can be read; *peer* if it is none."""
        claimed = head.get(b"x-forwarded-for")
        if claimed is None or not self._trusts_peer(peer):
            return peer
        address = peer
        for hop in reversed(b",".join(claimed).rsplit(b",", _MOST_HOPS)):
            read = _address(hop)
            if read is None:
                break
            address = str(read)
            if not self._trusts(read):
                break
        return address

    def _trusts_peer(self, peer: str) -> bool:
        known = self._known.get(peer)
        if known is None:
            read = _address(peer.encode("latin-1", "replace"))
            known = read is not None and self._trusts(read)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[peer] = known
        return known

    def _trusts(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(address in network for network in self._networks)


class _Sieve:
    """What one direction lets through. It remembers its answers: a peer sends the same names in the same order all day."""

    __slots__ = ("_drop", "_patterns", "_prefix")

    def __init__(self, drop: frozenset[bytes], prefix: bytes | None) -> None:
        self._drop = drop
        self._prefix = prefix
        self._patterns: dict[tuple[bytes, ...], _Pattern | None] = {}

    def passed(self, raw: Sequence[Header]) -> list[Header] | None:
        """Return the headers that pass, None if any header is malformed."""
        names = tuple([name for name, _ in raw])
        pattern = self._patterns[names] if names in self._patterns else self._learn(names)
        values = b"".join([value for _, value in raw])
        if pattern is None or len(values.translate(None, _CONTROL)) != len(values):
            return None
        kept = [raw[index] for index in pattern.kept]
        named = _named([raw[index][1] for index in pattern.connection]) if pattern.connection else None
        return [pair for pair in kept if pair[0].lower() not in named] if named else kept

    def _learn(self, names: tuple[bytes, ...]) -> _Pattern | None:
        if any(not name or name.translate(None, _TOKEN) for name in names):
            return None  # malformed, and not worth the memory
        lowered = [name.lower() for name in names]
        pattern = _Pattern(
            kept=tuple(index for index, name in enumerate(lowered) if self._passes(name)),
            connection=tuple(index for index, name in enumerate(lowered) if name == b"connection"),
        )
        if sum(map(len, names)) <= _LONGEST_PATTERN:
            if len(self._patterns) >= _MOST_KNOWN:
                self._patterns.clear()
            self._patterns[names] = pattern
        return pattern

    def _passes(self, lowered: bytes) -> bool:
        return lowered not in self._drop and (self._prefix is None or not lowered.startswith(self._prefix))


class _Pattern(NamedTuple):
    """Which headers of a head pass by their name, and which name others that do not."""

    kept: tuple[int, ...]
    connection: tuple[int, ...]


def _named(connection: list[bytes]) -> set[bytes]:
    """Return the header names that Connection declares to be of this hop only."""
    options = {option.strip(_OWS).lower() for value in connection for option in value.split(b",")}
    return options - _KEEP_ALIVE_OR_CLOSE


def _without_cookie(headers: list[Header], token_cookie: bytes) -> list[Header]:
    kept: list[Header] = []
    for name, value in headers:
        if name.lower() != b"cookie":
            kept.append((name, value))
            continue
        parts = value.split(b";")
        rest = [part for part in parts if part.partition(b"=")[0].strip() != token_cookie]
        if rest:
            kept.append((name, value if len(rest) == len(parts) else b";".join(rest).strip()))
    return kept


def _names_these_bytes(name: bytes, value: bytes) -> bool:
    lowered = name.lower()
    return lowered in _DIGESTS or (lowered == b"etag" and not value.startswith(b"W/"))


def _declared_length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise UpstreamMalformed("invalid Content-Length")
    return int(value)


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


def _address(hop: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, without its port or zone; an IPv4 address inside an IPv6 one is an IPv4 address."""
    text = hop.strip().partition(b"%")[0].decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
