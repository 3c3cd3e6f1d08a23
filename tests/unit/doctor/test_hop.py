"""One hop under examination."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.doctor.arrivals import End
from proxy.doctor.hop import STRANGER, Course, Hop, examine, stranger
from proxy.doctor.target import parse
from proxy.doctor.verdicts import Kind
from proxy.doctor.wire import Ask
from tests.support.components import free_port
from tests.unit.doctor.serving import DONE, HEAD, serving, tick, wire
from tests.unit.doctor.sights import PROMPT, seen

COURSE = Course(count=2, interval=0.25, size=7)


async def examined(*said: bytes) -> tuple[Hop, bytes]:
    async with serving(*said) as server, wire() as it:
        hop = await examine(it, parse(server.url), COURSE)
        return hop, server.heads[0]


async def test_hop_is_asked_for_the_course() -> None:
    hop, head = await examined(HEAD + b"Server: nginx\r\n\r\n" + tick(1) + tick(2, 250) + DONE)

    assert head.startswith(b"GET /test/stream?count=2&interval=0.25&size=7&format=sse HTTP/1.1\r\n")
    assert b"Accept-Encoding: gzip" in head
    assert hop.verdict.kind is not Kind.REFUSED
    assert hop.products == ["nginx"]
    assert COURSE.seconds == 0.25


async def test_stream_that_lacks_events_is_cut() -> None:
    hop, _ = await examined(HEAD + b"\r\n" + tick(1))

    assert hop.verdict.kind is Kind.CUT


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "the credential is missing or wrong: --key, or LLM_PROXY_KEY (status 401)"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "it cannot reach what stands behind it (status 502)"),
        (b"HTTP/1.1 418 Teapot\r\n\r\n", "it refuses (status 418)"),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: https://me:secret@x.example/?token=secret\r\n\r\n",
            "it answers with a redirect (301) to https://x.example/?token=***: give that address, if it is yours",
        ),
        (
            b"HTTP/1.1 307 Temporary\r\n\r\n",
            "it answers with a redirect (307) to somewhere else: give that address, if it is yours",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>",
            "a web page came back, not events: this address leads somewhere else",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}",
            "what came back is application/json, not text/event-stream",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "what came back is of no type, not text/event-stream"),
    ],
)
async def test_answer_that_is_no_stream_is_refused_in_one_sentence(said: bytes, reason: str) -> None:
    hop, _ = await examined(said)

    assert (hop.verdict.kind, hop.verdict.reason) == (Kind.REFUSED, reason)
    assert hop.seen is not None  # its signs say who refuses


@pytest.mark.parametrize(
    "body", [b"", DONE, b": hello\n\n", b"data: x\n\n" * 9, b'data: {"choices": []}\n\ndata: [DONE]\n\n', tick(1) * 3 + DONE]
)
async def test_stream_of_somebody_else_is_refused_and_not_called_cut(body: bytes) -> None:
    hop, _ = await examined(HEAD + b"\r\n" + body)

    assert (hop.verdict.kind, hop.verdict.reason) == (Kind.REFUSED, STRANGER)


async def test_stream_of_somebody_else_that_has_no_end_is_not_heard_to_the_last_second() -> None:
    async with serving(HEAD + b"\r\n" + b"data: x\n\n" * 9, stay=True) as server, wire() as it, asyncio.timeout(10):
        assert (await examine(it, parse(server.url), COURSE)).verdict.reason == STRANGER


@pytest.mark.parametrize(
    ("end", "changes", "expected"),
    [
        (End.ENDLESS, {"times": (), "expected": 4, "ended_at": 9.0}, True),
        (End.ENDLESS, {"times": PROMPT * 9, "expected": 4}, True),
        (End.ENDLESS, {"expected": 9}, False),
        (End.SILENT, {"times": (), "expected": 4}, False),
        (End.BROKEN, {"times": (), "expected": 4}, False),
        (End.CLEAN, {"times": (), "expected": 4, "ended_at": 9.0}, False),
        (End.ENDLESS, {"times": (), "expected": None}, False),
    ],
)
def test_stream_of_ours_that_suffers_is_ours(end: End, changes: dict[str, Any], *, expected: bool) -> None:
    assert stranger(seen(end=end, **changes)) is expected


async def test_hop_that_cannot_be_reached_is_refused() -> None:
    async with wire() as it:
        hop = await examine(it, parse(f"http://127.0.0.1:{free_port()}"), COURSE)

    assert (hop.verdict.kind, hop.seen, hop.products) == (Kind.REFUSED, None, [])


async def test_body_of_a_refusal_is_not_waited_for() -> None:
    async with serving(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", stay=True) as server, wire() as it:
        hop = await examine(it, parse(server.url), COURSE)

    assert hop.verdict.kind is Kind.REFUSED


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (b"400 Bad Request", "it does not understand the request (status 400): no model *** here"),
        (b"404 Not Found", "there is nothing at this address (status 404): no model *** here"),
        (b"401 Unauthorized", "the credential is missing or wrong: --key, or LLM_PROXY_KEY (status 401)"),
    ],
)
async def test_foreign_server_says_itself_why_it_refuses(status: bytes, reason: str) -> None:
    error = b"HTTP/1.1 %b\r\nConnection: close\r\n\r\n" % status + b'{"error": {"message": "no model k-12345678 here"}}'
    async with serving(error) as server, wire(Authorization="Bearer k-12345678") as it:
        hop = await examine(it, parse(server.url, foreign=True), COURSE)

    assert (hop.verdict.kind, hop.verdict.reason) == (Kind.REFUSED, reason)


async def test_foreign_stream_is_asked_with_the_request_that_was_given() -> None:
    async with serving(HEAD + b"\r\ndata: {}\n\ndata: [DONE]\n\n") as server, wire() as it:
        target = parse(f"{server.url}/v1/chat", foreign=True)

        hop = await examine(it, target, COURSE, Ask(url=target.base, method="POST", body=b"{}"))

        assert hop.verdict.kind is Kind.STREAMING
        assert server.heads[0].startswith(b"POST /v1/chat HTTP/1.1\r\n")
