"""Decides which headers may pass the proxy, in which direction.

`Outbound` is the request on its way to one upstream, `Inbound` the answer on its way back. Both strip first; what the
proxy itself has to say is added by the caller afterwards, so that no `Connection` header of a peer can remove it.
Names keep their case, values their bytes, the rest its order and its duplicates. Errors never repeat a peer's bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, NamedTuple

from proxy.errors import BadRequest, UpstreamMalformed

Header = tuple[bytes, bytes]

CREDENTIALS: Final = frozenset(
    {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"}
    # parts of a signature made with the client's own AWS key, which is never the upstream's
    | {b"x-amz-security-token", b"x-amz-date", b"x-amz-content-sha256"}
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
_SAID_ANEW: Final = frozenset({b"content-length", b"date", b"server", b"x-request-id"})
_FROM_UPSTREAM: Final = _HOP_BY_HOP | _SAID_ANEW | {b"alt-svc"}
_OF_STREAMS: Final = frozenset({b"content-type", b"cache-control", b"x-accel-buffering"})
_KEEP_ALIVE_OR_CLOSE: Final = frozenset({b"keep-alive", b"close", b""})

_OWS: Final = b" \t"  # RFC 9110 5.6.3; a bare strip() also takes what smugglers send
_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CONTROL: Final = bytes(byte for byte in range(0x20) if byte != 0x09) + b"\x7f"
_HARMLESS: Final = bytes.maketrans(_CONTROL, b"?" * len(_CONTROL))  # changes nothing where there is none
_MOST_KNOWN: Final = 1024  # peers choose the names: what is remembered of them is bounded
_LONGEST_PATTERN: Final = 2048
_NOT_ALLOWED: Final = "A header name or value contains a character that is not allowed."
_MALFORMED: Final = "control character or invalid name in a response header"


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
            raise BadRequest(_NOT_ALLOWED)
        return kept if self._token_cookie is None else _without_cookie(kept, self._token_cookie)

    def lines(self, raw: Sequence[Header]) -> bytes:
        """Return the same as the lines of a head."""
        if self._token_cookie is not None:
            return header_lines(self.forwardable(raw))
        lines = self._sieve.lines(raw)
        if lines is None:
            raise BadRequest(_NOT_ALLOWED)
        return lines


class ResponseHead(NamedTuple):
    """An upstream's headers as the client may have them. Framing, date, server and request id are said anew by the proxy."""

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
            raise UpstreamMalformed(_MALFORMED)
        if body_may_change:
            kept = [pair for pair in kept if not _names_these_bytes(*pair)]
        length = fields.get(b"content-length")
        return ResponseHead(kept, None if length is None else _declared_length(length))

    def lines(self, raw: Sequence[Header]) -> bytes:
        """Return what may pass of the headers of a body that stays as it is, as the lines of a head. Raises `UpstreamMalformed`."""
        lines = self._sieve.lines(raw)
        if lines is None:
            raise UpstreamMalformed(_MALFORMED)
        return lines


def header_lines(headers: Sequence[Header]) -> bytes:
    """Return *headers* as they stand on the wire."""
    return b"\r\n".join(map(b": ".join, headers)) + b"\r\n" if headers else b""


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


@dataclass(frozen=True, slots=True)
class _Pattern:
    """What becomes of headers with certain names in a certain order."""

    kept: tuple[int, ...]  # those that pass by their name
    connection: tuple[int, ...]  # those whose value names others that do not
    lines: bytes  # the kept ones on the wire, with a `%b` for each value
    values: itemgetter[Any] | None  # picks these values


class _Sieve:
    """What one direction lets through. It remembers its answers: a peer sends the same names in the same order all day."""

    __slots__ = ("_drop", "_patterns", "_prefix")

    def __init__(self, drop: frozenset[bytes], prefix: bytes | None) -> None:
        self._drop = drop
        self._prefix = prefix
        self._patterns: dict[tuple[bytes, ...], _Pattern] = {}

    def passed(self, raw: Sequence[Header]) -> list[Header] | None:
        """Return the headers that pass, None if any header is malformed."""
        names = tuple([name for name, _ in raw])
        pattern = self._patterns.get(names) or self._learn(names)
        values = b"".join([value for _, value in raw])
        if pattern is None or values.translate(_HARMLESS) != values:
            return None
        kept = [raw[index] for index in pattern.kept]
        named = _named([raw[index][1] for index in pattern.connection]) if pattern.connection else None
        return [pair for pair in kept if pair[0].lower() not in named] if named else kept

    def lines(self, raw: Sequence[Header]) -> bytes | None:
        """Return the same as the lines of a head, in one go where it is only about names."""
        if not raw:
            return b""
        names, values = zip(*raw)  # noqa: B905 - these are pairs; to say so costs as much again
        pattern = self._patterns.get(names) or self._learn(names)
        text = b"".join(values)
        if pattern is None or text.translate(_HARMLESS) != text:
            return None
        for index in pattern.connection:
            if values[index].lower() not in _KEEP_ALIVE_OR_CLOSE:
                return header_lines(self.passed(raw) or ())
        pick = pattern.values
        return pattern.lines % pick(values) if pick is not None else b""

    def _learn(self, names: tuple[bytes, ...]) -> _Pattern | None:
        if any(not name or name.translate(None, _TOKEN) for name in names):
            return None  # malformed, and not worth the memory
        lowered = [name.lower() for name in names]
        kept = tuple(index for index, name in enumerate(lowered) if self._passes(name))
        pattern = _Pattern(
            kept=kept,
            connection=tuple(index for index, name in enumerate(lowered) if name == b"connection"),
            lines=b"".join([b"%b: %%b\r\n" % names[index].replace(b"%", b"%%") for index in kept]),
            values=itemgetter(*kept) if kept else None,
        )
        if sum(map(len, names)) <= _LONGEST_PATTERN:
            if len(self._patterns) >= _MOST_KNOWN:
                self._patterns.clear()
            self._patterns[names] = pattern
        return pattern

    def _passes(self, lowered: bytes) -> bool:
        return lowered not in self._drop and (self._prefix is None or not lowered.startswith(self._prefix))


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
