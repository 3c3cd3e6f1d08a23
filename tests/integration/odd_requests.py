"""Requests as no well-behaved client sends them, by what is odd about each, and what must become of them.

Each is followed by a request that is good in every way. Where the odd one is good too, both reach the upstream; where nobody can
tell for certain what it is, it is refused, and what follows is not looked at (RFC 9112 2.2, 3, 5, 6 and 7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tests.integration.asking import FILES, head
from tests.support.house import KEY

ODD: Final = f"{FILES}/odd"
NEXT: Final = head(f"GET {FILES}/next HTTP/1.1", "Connection: close")

_POST: Final = f"POST {ODD} HTTP/1.1"
_HELLO: Final = b"5\r\nhello\r\n0\r\n\r\n"


class Outcome(NamedTuple):
    """The statuses that the client gets, and the bodies that the upstream gets."""

    statuses: tuple[int, ...]
    bodies: tuple[bytes, ...] = ()


Cases = Mapping[str, tuple[bytes, Outcome]]

REFUSED: Final = Outcome((400,))
TOO_LARGE: Final = Outcome((431,))
NO_CODING: Final = Outcome((501,))
NO_VERSION: Final = Outcome((505,))
NO_EXPECTATION: Final = Outcome((417,))


def served(body: bytes = b"") -> Outcome:
    """It reaches the upstream, and what follows does too."""
    return Outcome((200, 200), (body, b""))


def last(body: bytes = b"") -> Outcome:
    """It reaches the upstream, and its connection ends with it."""
    return Outcome((200,), (body,))


def request(*lines: str, start: str = _POST, body: bytes = b"", end: str = "\r\n") -> bytes:
    """Return a request with a Host and a good credential; what is given may be as odd as it likes."""
    all_lines = (start, "Host: proxy", f"Authorization: Bearer {KEY}", *lines, "")
    return "".join(f"{line}{end}" for line in all_lines).encode("latin-1") + body


def starting(lines: Iterable[str], outcome: Outcome) -> Cases:
    """Return requests that begin with these lines."""
    return {f"line {line[:60]!r}": (request("Content-Length: 0", start=line), outcome) for line in lines}


def saying(lines: Iterable[str], outcome: Outcome) -> Cases:
    """Return requests with these lines in their heads, and a body."""
    return {f"field {line[:60]!r}": (request(line, "Content-Length: 5", body=b"hello"), outcome) for line in lines}


def sized(lengths: Iterable[str], outcome: Outcome) -> Cases:
    """Return requests with these lengths, behind the colon."""
    return {f"length {length!r}": (request(f"Content-Length:{length}", body=b"hello"), outcome) for length in lengths}


def framed(heads: Iterable[tuple[str, ...]], outcome: Outcome) -> Cases:
    """Return requests with these lines that say how long the body is, which is `hello`."""
    return {f"framing {lines!r}": (request(*lines, body=b"hello"), outcome) for lines in heads}


def coded(codings: Iterable[str], outcome: Outcome) -> Cases:
    """Return requests in these transfer codings, behind the colon."""
    return {f"coding {coding!r}": (request(f"Transfer-Encoding:{coding}", body=_HELLO), outcome) for coding in codings}


def chunked(bodies: Iterable[bytes], outcome: Outcome) -> Cases:
    """Return requests with these chunks."""
    return {f"chunks {body[:60]!r}": (request("Transfer-Encoding: chunked", body=body), outcome) for body in bodies}


def trailed(trailers: Iterable[bytes], outcome: Outcome) -> Cases:
    """Return requests with these trailers."""
    bodies = {trailer: b"5\r\nhello\r\n0\r\n%b\r\n" % trailer for trailer in trailers}
    return {
        f"trailer {name[:60]!r}": (request("Transfer-Encoding: chunked", body=body), outcome) for name, body in bodies.items()
    }


def offering(framings: Mapping[tuple[str, ...], bytes], outcome: Outcome) -> Cases:
    """Return requests that offer to switch to another protocol."""
    return {
        f"offer of {protocol} {lines!r} {body[-12:]!r}": (
            request("Connection: Upgrade", f"Upgrade: {protocol}", *lines, body=body),
            outcome,
        )
        for lines, body in framings.items()
        for protocol in ("websocket", "h2c")
    }


REQUEST_LINES: Cases = {
    **starting(
        [
            *(f" POST {ODD} HTTP/1.1", f"POST\t{ODD}\tHTTP/1.1", f"POST {ODD} HTTP/1.1 "),
            *(
                f"POST {ODD} HTTP/1.1\t",
                "POST HTTP/1.1",
                "POST",
                "POST  HTTP/1.1",
                f"POST {ODD} http/1.1",
                f"POST {ODD} Http/1.1",
            ),
            *(
                f"POST {ODD} HTTP/1.10",
                f"POST {ODD} HTTP/01.1",
                f"POST {ODD} HTTP/1.1x",
                f"POST {ODD} HTTP/1.",
                f"POST {ODD} HTTP/1",
            ),
            *(f"POST {ODD} HTTP/1,1", f"POST {ODD} HTTP/+1.1", f"POST {ODD} HTTP/ 1.1", f"POST {ODD} HTTP/1 .1"),
            *(
                f"POST {ODD} HTTP/1.2",
                f"POST {ODD} HTTP/1.9",
                f"POST {ODD} HTTP/3.0",
                f"POST {ODD} HTTP/2",
                f"POST {ODD} HTTPS/1.1",
            ),
            *(f"GET {ODD} ICE/1.0", f"OPTIONS {ODD} SIP/2.0", f"POST {ODD}\rHTTP/1.1", f"POST {ODD}\x0bHTTP/1.1"),
            *(
                f"post {ODD} HTTP/1.1",
                f"Post {ODD} HTTP/1.1",
                f"FETCH {ODD} HTTP/1.1",
                f"GETT {ODD} HTTP/1.1",
                f"GE {ODD} HTTP/1.1",
            ),
            *(f"GET: {ODD} HTTP/1.1", f"PRI {ODD} HTTP/1.1", "PRI * HTTP/2.0", f'"GET" {ODD} HTTP/1.1', f"\0GET {ODD} HTTP/1.1"),
            *(f"DESCRIBE {ODD} HTTP/1.1", f"PLAY {ODD} HTTP/1.1", f"POST {ODD} x HTTP/1.1"),
        ],
        REFUSED,
    ),
    **starting(
        [
            *(f"POST {ODD}#a HTTP/1.1", f"POST http://proxy{ODD} HTTP/1.1", f"POST https://proxy{ODD} HTTP/1.1"),
            *(f"POST http://other{ODD} HTTP/1.1", f"POST http://u:p@proxy{ODD} HTTP/1.1", "POST http:///x HTTP/1.1"),
            *("POST http://[::1/x HTTP/1.1", "POST ftp://proxy/x HTTP/1.1", f"POST /{ODD} HTTP/1.1", "POST * HTTP/1.1"),
            *("OPTIONS * HTTP/1.1", "POST upstream HTTP/1.1", "POST \\upstream\\a HTTP/1.1", "POST proxy:80 HTTP/1.1"),
            *("CONNECT proxy:443 HTTP/1.1", f"CONNECT {ODD} HTTP/1.1", "CONNECT http://proxy/ HTTP/1.1", "POST ?a HTTP/1.1"),
            *(f"POST {ODD}\xe9 HTTP/1.1", f"POST {ODD}\0 HTTP/1.1", f"POST {ODD}\x7f HTTP/1.1", f"POST {ODD}%zz HTTP/1.1"),
        ],
        REFUSED,
    ),
    **starting([f"GET {ODD} HTTP/0.9", f"POST {ODD} HTTP/2.0", f"POST {ODD}\r\nX: 1 HTTP/1.1", f"POST {ODD}"], NO_VERSION),
    **starting([f"POST {ODD} HTTP/1.0"], last()),
    **starting([f"POST  {ODD} HTTP/1.1"], served()),
    **starting([f"{method} {ODD} HTTP/1.1" for method in ("DELETE", "PUT", "PATCH", "QUERY", "PROPFIND", "M-SEARCH")], served()),
}

LINE_ENDS: Cases = {
    "empty line before": (b"\r\n" + request(), served()),
    "empty lines before": (b"\r\n" * 200 + request(), served()),
    "line feed before": (b"\n" + request(), served()),
    "space before": (b" " + request(), REFUSED),
    "NUL before": (b"\0" + request(), REFUSED),
    "byte order mark before": (b"\xef\xbb\xbf" + request(), REFUSED),
    "line feeds": (request(end="\n"), REFUSED),
    "carriage returns": (request(end="\r"), REFUSED),
    "the other way round": (request(end="\n\r"), REFUSED),
    "two carriage returns": (request(end="\r\r\n"), REFUSED),
    "line feed behind the head": (request()[:-2] + b"\n", REFUSED),
    "carriage returns behind the head": (request()[:-1] + b"\r", REFUSED),
    "line feed behind the first line": (request().replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n"), REFUSED),
    "carriage return behind the first line": (request().replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r"), REFUSED),
}

FIELDS: Cases = {
    **saying(
        [
            *("X: a\r\n b", "X: a\r\n\tb", "X:\r\n b", "\tX: a", "X : a", "X\t: a", "X", ": a", " : a", ":", '"X": a', "X(y): a", "X/y: a"),
            *("X\xe9: a", "X@: a", "X[]: a", "X{}: a", "X=: a", "X,Y: a", "X;: a", "X\\: a", "X?: a", "<X>: a", "X y: a", "X\0: a"),
            *("X: a\0b", "X: a\rb", "X: a\nb", "X: a\nY: b", "X: a\x7fb", "X: a\x1bb", "X: a\x0bb", "X: \x0ca", "X: a\x08", "X: \x01"),
            *("Host: other", "Host: proxy", "hOST: proxy", "Content-Type: a/b\r\nContent-Type: a/b", "Server: a\r\nServer: a"),
            *("content-type: a/b\r\nCONTENT-TYPE: c/d", "User-Agent: a\r\nUser-Agent: b", "ETag: a\r\nETag: b"),
            *("Max-Forwards: 1\r\nMax-Forwards: 1", "Content-Range: a\r\nContent-Range: a", "Sec-WebSocket-Key1: a"),
            *("Content-Location: a\r\nContent-Location: a", "Connection: close\x0b", "Connection: close\0"),
        ],
        REFUSED,
    ),
    **saying(
        [
            *("X:a:b", "X:", "X:    ", "X:\ta\t", "X: a   \t ", "X_y: a", "X.y: a", "!#$%&'*+-.^_`|~09azAZ: a", "X: \xe9", "X: \xff"),
            *("Accept: a\r\nAccept: b", "Cookie: a\r\nCookie: b", "Sec-WebSocket-Key: a", "X: \"a", "X: a, b;c=\"d\r\nY: e\""),
            *("Connection: keep-alive", "Connection:", "Connection: x", "Upgrade: websocket", "Connection: upgrade", "Keep-Alive: x"),
            "Expect: 100-continue",
        ],
        served(b"hello"),
    ),
    **saying(
        ["Connection: close", "Connection: close, keep-alive", "Connection: CLOSE", "Connection: ,,close,,", "Proxy-Connection: close"],
        last(b"hello"),
    ),
    **saying(["Expect: teapot"], NO_EXPECTATION),
    "no host": (request().replace(b"Host: proxy\r\n", b""), REFUSED),
    "no host in HTTP/1.0": (request(start=f"POST {ODD} HTTP/1.0").replace(b"Host: proxy\r\n", b""), last()),
    "empty host": (request().replace(b"Host: proxy", b"Host:"), served()),
}  # fmt: skip

LENGTHS: Cases = {
    **sized(["5", " 5", "\t5", " 5 ", " 5\t", " 0000005"], served(b"hello")),
    **sized(
        [
            *(
                " +5",
                " -5",
                " 0x5",
                " 5h",
                " 5,5",
                " 5, 5",
                "",
                "   ",
                " 5 5",
                " 5.0",
                " 5e0",
                " 5_0",
                ' "5"',
                " \xd9\xa5",
                " \xb2",
            ),
            *(
                " 5\x0b",
                " \x0c5",
                " 5\0",
                f" {2**64}",
                f" {2**64 + 5}",
                " 9" * 30,
                " 5;",
                " 5\n",
                " 5\r\n 0",
                "\r\n 5",
                " 5\r",
                " five",
            ),
        ],
        REFUSED,
    ),
    **framed(
        [
            *(("Content-Length: 5", "Content-Length: 5"), ("Content-Length: 5", "Content-Length: 6")),
            *(("Content-Length: 5", "content-length: 5"), ("Content-Length: 0", "Content-Length: 5"), ("Content-Length : 5",)),
            *(("Content-Length: 5", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: 5")),
            *(("Content-Length: 5", "Transfer-Encoding: identity"), ("Content-Length: 5", "Transfer-Encoding:")),
            *(("Content-Length: 5", "X: 1", "Transfer-Encoding: chunked"), ("Transfer-Encoding : chunked", "Content-Length: 5")),
            *(("Transfer-Encoding\t: chunked", "Content-Length: 5"), ("Content-Length: 5", "X: a\rTransfer-Encoding: chunked")),
            *(("Content-Length: 5", "X: a\nTransfer-Encoding: chunked"), ("Content-Length: 5", "\x0bTransfer-Encoding: chunked")),
            *(("Content-Length: 5", " Transfer-Encoding: chunked"), ("Content-Length: 5", "\0Transfer-Encoding: chunked")),
        ],
        REFUSED,
    ),
    **framed(
        [("Content-Length: 5", "Transfer_Encoding: chunked"), ("Content-Length: 5", "X-Content-Length: 0")], served(b"hello")
    ),
    **framed([("Content_Length: 5",), ()], Outcome((200, 400), (b"",))),
    "in HTTP/1.0": (request("Content-Length: 5", start=f"POST {ODD} HTTP/1.0", body=b"hello"), last(b"hello")),
    "of a GET": (request("Content-Length: 5", start=f"GET {ODD} HTTP/1.1", body=b"hello"), served(b"hello")),
    "empty line behind": (request("Content-Length: 5", body=b"hello\r\n"), served(b"hello")),
    "more than said": (request("Content-Length: 5", body=b"hello!!"), Outcome((200, 400), (b"hello",))),
}

CODINGS: Cases = {
    **coded([" chunked", " CHUNKED", "chunked", "\tchunked", " chunked "], served(b"hello")),
    **coded(
        [
            *(" ,chunked", " chunked,", " ,,chunked", " gzip", " chunked, gzip", " chunked, chunked", " identity", " xchunked"),
            *(
                " chunkedx",
                ' "chunked"',
                " chunked;a=b",
                " chunked; q=1",
                " \x0bchunked",
                " chunked\x0b",
                " chunked\0",
                " cow",
                "",
            ),
            *(
                " chun ked",
                " chunked\xa0",
                "\r\n chunked",
                " chunked\r\n ",
                " chunked\r\n , gzip",
                " chunked.",
                " chunked chunked",
            ),
            *(" trailers", " chunked\r\nTransfer-Encoding: chunked", " gzip\r\nTransfer-Encoding: chunked", " chunked\t"),
            *(" chunked\r\nTransfer-Encoding: identity", " chunked\r\nTransfer-Encoding: gzip", " chunked\r\nTransfer-Encoding:"),
        ],
        REFUSED,
    ),
    **coded([" gzip, chunked", " identity, chunked", " gzip,chunked"], NO_CODING),
    "coding in HTTP/1.0": (request("Transfer-Encoding: chunked", start=f"POST {ODD} HTTP/1.0", body=_HELLO), REFUSED),
    "coding in HTTP/2.0": (request("Transfer-Encoding: chunked", start=f"POST {ODD} HTTP/2.0", body=_HELLO), NO_VERSION),
    "coding of a GET": (request("Transfer-Encoding: chunked", start=f"GET {ODD} HTTP/1.1", body=_HELLO), served(b"hello")),
}

CHUNKS: Cases = {
    **chunked(
        [
            *(_HELLO, b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"0005\r\nhello\r\n000\r\n\r\n", b"0" * 40 + _HELLO),
            *(b"5;a=b\r\nhello\r\n0\r\n\r\n", b"5;a\r\nhello\r\n0\r\n\r\n", b'5;a="b;c"\r\nhello\r\n0\r\n\r\n', b"5;a=b;c=d\r\nhello\r\n0\r\n\r\n"),
            *(b'5;a="b\\"c"\r\nhello\r\n0\r\n\r\n', b"5\r\nhello\r\n0;a=b\r\n\r\n", b"5;" + b"a" * 20_000 + b"\r\nhello\r\n0\r\n\r\n"),
        ],
        served(b"hello"),
    ),
    **chunked([b"A\r\nhellohello\r\n0\r\n\r\n", b"a\r\nhellohello\r\n0\r\n\r\n"], served(b"hellohello")),
    **chunked([b"0\r\n\r\n"], served()),
    **chunked(
        [
            *(b'5;a="b\r\nc"\r\nhello\r\n0\r\n\r\n', b'5;a="b\r\nhello\r\n0\r\n\r\n', b"5 ;a=b\r\nhello\r\n0\r\n\r\n", b"5; a=b\r\nhello\r\n0\r\n\r\n"),
            *(b"5;a = b\r\nhello\r\n0\r\n\r\n", b"5;\r\nhello\r\n0\r\n\r\n", b"5;a\nhello\r\n0\r\n\r\n", b"5;\n\r\nhello\r\n0\r\n\r\n"),
            *(b"5;\r\r\nhello\r\n0\r\n\r\n", b"5;\0\r\nhello\r\n0\r\n\r\n", b"5;\xe9\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n"),
            *(b"5\t\r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n"),
            *(b"-5\r\nhello\r\n0\r\n\r\n", b"g\r\n", b"\r\nhello\r\n0\r\n\r\n", b"1_0\r\nhello\r\n0\r\n\r\n", b"\xd9\xa5\r\nhello\r\n0\r\n\r\n"),
            *(b"f" * 17 + b"\r\nhello\r\n0\r\n\r\n", b"10000000000000005\r\nhello\r\n0\r\n\r\n", _HELLO.replace(b"\r\n", b"\n")),
            *(b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\r\n0\n\r\n", b"5\r\nhello\r\n0\r\n\n", b"5\rhello\r\n0\r\n\r\n"),
            *(b"5\r\nhello\r0\r\n\r\n", b"6\r\nhello\r\n0\r\n\r\n", b"4\r\nhello\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n"),
            *(b"5\r\nhello\r\n\r\n0\r\n\r\n", b"5,\r\nhello\r\n0\r\n\r\n", b"5.\r\nhello\r\n0\r\n\r\n", b"5\0\r\nhello\r\n0\r\n\r\n"),
        ],
        REFUSED,
    ),
    **trailed([b"X: 1\r\n", b"X: 1\r\nX: 2\r\n", b"Content-Type: a/b\r\n", b"Authorization: Bearer other\r\n"], served(b"hello")),
    **trailed([b"Connection: upgrade\r\nUpgrade: h2c\r\n"], served(b"hello")),
    **trailed(
        [
            *(b"X y: 1\r\n", b"X: \0\r\n", b"X: 1\r\n 2\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: other\r\n"),
            *(b"X\r\n", b"X: 1\n", b"X: 1\r\n" * 200, b"Content-Type: a\r\nContent-Type: a\r\n", b"Sec-WebSocket-Key1: a\r\n"),
        ],
        REFUSED,
    ),
    **trailed([b"X: %b\r\n" % (b"a" * 20_000)], TOO_LARGE),
}  # fmt: skip

OFFERS: Cases = {
    **offering({(): b"", ("Content-Length: 0",): b""}, served()),
    **offering({("Content-Length: 5",): b"hello", ("Transfer-Encoding: chunked",): _HELLO}, served(b"hello")),
    **offering({("Transfer-Encoding: chunked", "X: 1"): b"5\r\nhello\r\n0\r\nX: 1\r\n\r\n"}, served(b"hello")),
    **offering({("Connection: close",): b""}, last()),
    **offering(
        {
            ("Transfer-Encoding: chunked",): b"zz\r\n",
            ("Transfer-Encoding: chunked", "X: 1"): b"5\r\nhello\r\n0\r\nHost: other\r\n\r\n",
            ("Content-Length: 5", "Transfer-Encoding: chunked"): b"hello",
            ("Content-Length: 5", "Content-Length: 5"): b"hello",
            ("Transfer-Encoding: gzip",): _HELLO,
            ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"): _HELLO,
            ("Transfer-Encoding: chunked, gzip",): _HELLO,
        },
        REFUSED,
    ),
    **offering({("Transfer-Encoding: gzip, chunked",): _HELLO}, NO_CODING),
    "offer in HTTP/1.0": (
        request("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5", start=f"POST {ODD} HTTP/1.0", body=b"hello"),
        last(b"hello"),
    ),
    "tunnel with a body": (request("Content-Length: 5", start="CONNECT proxy:443 HTTP/1.1", body=b"hello"), REFUSED),
}

SIZES: Cases = {
    "long header": (request("X:" + "a" * 16_383), served()),
    "longer header": (request("X:" + "a" * 16_384), TOO_LARGE),
    "header that is long for its spaces": (request("X: " + "a" * 16_383 + " " * 10), TOO_LARGE),
    "longer name": (request("X" * 16_385 + ": a"), TOO_LARGE),
    "long target": (request(start=f"POST {ODD}?{'a' * (16_383 - len(ODD))} HTTP/1.1"), served()),
    "longer target": (request(start=f"POST {ODD}?{'a' * (16_384 - len(ODD))} HTTP/1.1"), TOO_LARGE),
    "many headers": (request(*[f"X-{number}: a" for number in range(126)]), served()),
    "too many headers": (request(*[f"X-{number}: a" for number in range(127)]), REFUSED),
    "large head": (request(*[f"X-{number}: {'a' * 10_000}" for number in range(20)]), served()),
}

NOT_HTTP: Cases = {
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abc\r\n\r\n", REFUSED),
    "SSH": (b"SSH-2.0-x\r\n\r\n", REFUSED),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED),
    "PROXY protocol": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + request(), REFUSED),
    "PROXY protocol, version 2": (b"\r\n\r\n\0\r\nQUIT\n" + request(), REFUSED),
    "response": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", REFUSED),
    "HTTP/0.9": (f"GET {ODD}\r\n\r\n".encode(), NO_VERSION),
    "SMTP": (b"EHLO proxy\r\n", REFUSED),
    "Redis": (b"*1\r\n$4\r\nPING\r\n", REFUSED),
}

GROUPS: Final[Mapping[str, Cases]] = {
    "request lines": REQUEST_LINES,
    "line ends": LINE_ENDS,
    "fields": FIELDS,
    "lengths": LENGTHS,
    "codings": CODINGS,
    "chunks": CHUNKS,
    "offers": OFFERS,
    "sizes": SIZES,
    "not HTTP": NOT_HTTP,
}
