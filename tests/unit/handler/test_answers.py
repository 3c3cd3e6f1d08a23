"""What the caller sees of a failure: an answer while that is possible, else the end of its stream."""

from __future__ import annotations

import orjson
import pytest

from proxy.dialects import CHAT, MESSAGES, RESPONSES
from proxy.dialects.base import Dialect, Framing
from proxy.dialects.endpoints import CONVERSE_STREAM
from proxy.errors import (
    BodiesFull,
    ClientStalled,
    Draining,
    Forbidden,
    MethodNotAllowed,
    ProxyError,
    Unauthenticated,
    UpstreamDnsFailed,
    UpstreamReset,
    UpstreamTimeout,
)
from proxy.handler.answers import cut, refusal, refuse
from tests.support import bedrock
from tests.support.answers import CREATED, TOKEN
from tests.support.http1 import chunk
from tests.support.transports import turns
from tests.unit.handler.calling import Asked, asked

STREAM = [(b"Content-Type", b"text/event-stream")]
ERROR = UpstreamReset("10.0.0.7 said RST")


def header(error: ProxyError, name: bytes) -> list[bytes]:
    """Return the values of one header in the answer to *error*."""
    return [value for key, value in refusal(error, CHAT, "r1")[1] if key.lower() == name]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unauthenticated("missing"), 401),
        (Forbidden("model_not_allowed"), 403),
        (MethodNotAllowed(("GET",)), 405),
        (Draining(), 503),
        (UpstreamTimeout(), 504),
    ],
)
def test_error_answers_with_its_status_in_the_words_of_the_dialect(error: ProxyError, status: int) -> None:
    told, headers, body = refusal(error, CHAT, "r1")

    assert told == status
    assert (b"Content-Type", b"application/json") in headers
    assert body == CHAT.error_body(error, "r1")
    assert orjson.loads(body)["error"]["code"] == error.code


def test_detail_is_the_operators_alone() -> None:
    _, headers, body = refusal(UpstreamDnsFailed("cannot resolve secret.internal"), CHAT, "r1")

    assert b"secret.internal" not in body + repr(headers).encode()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, []), (0.0, [b"1"]), (0.2, [b"1"]), (1.0, [b"1"]), (1.001, [b"2"]), (29.5, [b"30"]), (86_400.0, [b"86400"])],
)
def test_retry_after_is_whole_seconds_never_too_early_and_never_none(seconds: float | None, told: list[bytes]) -> None:
    assert header(BodiesFull(retry_after=seconds), b"retry-after") == told


@pytest.mark.parametrize(("error", "told"), [(Unauthenticated("missing"), [b"Bearer"]), (Forbidden("model_not_allowed"), [])])
def test_only_a_missing_credential_is_asked_for(error: ProxyError, told: list[bytes]) -> None:
    assert header(error, b"www-authenticate") == told


@pytest.mark.parametrize(("error", "told"), [(MethodNotAllowed(("GET", "HEAD")), [b"GET, HEAD"]), (Draining(), [])])
def test_method_that_is_not_served_names_those_that_are(error: ProxyError, told: list[bytes]) -> None:
    assert header(error, b"allow") == told


@pytest.mark.parametrize(("dialect", "told"), [(CHAT, []), (MESSAGES, [b"r1"])])
def test_request_id_is_where_the_clients_of_the_dialect_look_for_it(dialect: Dialect, told: list[bytes]) -> None:
    _, headers, _ = refusal(Draining(), dialect, "r1")

    assert [value for name, value in headers if name == b"request-id"] == told


def test_headers_of_every_answer_are_on_a_refusal_too() -> None:
    own = [(b"X-Request-Id", b"r1"), (b"Vary", b"Origin")]

    _, headers, _ = refusal(Draining(), CHAT, "r1", own)

    assert [line for line in headers if line in own] == own


async def test_refusal_of_a_call_is_its_whole_answer() -> None:
    async with asked() as it:
        it.call.response_headers.append((b"Vary", b"Origin"))

        response = refuse(it.call, Draining(retry_after=1))

        assert it.head[0] == b"HTTP/1.1 503 Service Unavailable"
        assert {b"X-Request-Id: r1", b"Vary: Origin", b"Retry-After: 1"} <= set(it.head)
        assert it.body == it.call.dialect.error_body(Draining(), "r1")
        assert it.call.exchange.status == 503
        assert response.keep_alive


async def test_call_is_refused_in_its_own_dialect() -> None:
    async with asked() as it:
        it.call.dialect = RESPONSES

        refuse(it.call, ERROR)

        assert it.body == RESPONSES.error_body(ERROR, "r1")


# Behind the head.


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No moment is left for last words to be read."""
    monkeypatch.setattr("proxy.downstream.connection.PARTING", 0.0)


def begun(it: Asked) -> int:
    """Send the head of a stream; returns the length of what was sent."""
    it.call.exchange.status = 200
    it.call.downstream.begin(200, STREAM)
    return len(it.sent)


@pytest.mark.parametrize("pieces", [(), (TOKEN,), (TOKEN, TOKEN[:-2], b"\n\n")], ids=["nothing yet", "an event", "cut events"])
@pytest.mark.usefixtures("hasty")
async def test_stream_is_told_between_events_and_has_no_end(pieces: tuple[bytes, ...]) -> None:
    async with asked() as it:
        it.stream(*pieces)
        sent = begun(it)

        response = refuse(it.call, ERROR)

        assert it.sent[sent:] == chunk(b"data: " + CHAT.error_body(ERROR, "r1") + b"\n\n")
        await turns()
        assert it.client.transport.ended == "close"
        assert it.call.exchange.status == 200
        assert not response.keep_alive


@pytest.mark.parametrize("half", [TOKEN[:-2], TOKEN[:-1], b"data: x", TOKEN + b"d", b": comment"])
async def test_nothing_is_ever_appended_to_half_an_event(half: bytes) -> None:
    async with asked() as it:
        it.stream(half)
        sent = begun(it)

        cut(it.call, ERROR, b"data: told\n\n")

        assert it.sent[sent:] == b""
        assert it.client.transport.ended == "abort"


@pytest.mark.parametrize("pieces", [bedrock.FRAMES[:1], bedrock.FRAMES[:3]], ids=["a frame", "frames"])
@pytest.mark.usefixtures("hasty")
async def test_binary_stream_is_told_by_a_frame_behind_the_last_one(pieces: tuple[bytes, ...]) -> None:
    async with asked() as it:
        it.call.dialect = CONVERSE_STREAM
        it.stream(*pieces, framing=Framing.FRAMES)
        sent = begun(it)

        refuse(it.call, ERROR)

        assert it.sent[sent:] == chunk(CONVERSE_STREAM.error_event(ERROR, "r1", None))
        await turns()
        assert it.client.transport.ended == "close"


@pytest.mark.parametrize(
    "rest", [bedrock.HI[:-1], bedrock.HI[:1], bedrock.damaged(bedrock.HI)], ids=["half", "a byte", "damaged"]
)
async def test_nothing_is_ever_appended_to_half_a_frame(rest: bytes) -> None:
    async with asked() as it:
        it.call.dialect = CONVERSE_STREAM
        it.stream(bedrock.START, rest, framing=Framing.FRAMES)
        sent = begun(it)

        refuse(it.call, ERROR)

        assert it.sent[sent:] == b""
        assert it.client.transport.ended == "abort"


@pytest.mark.parametrize("framing", [Framing.LINES, Framing.WHOLE, Framing.OPAQUE])
async def test_nothing_is_put_into_what_is_no_event_stream(framing: Framing) -> None:
    async with asked() as it:
        it.stream(framing=framing)
        sent = begun(it)

        cut(it.call, ERROR, b"data: told\n\n")

        assert it.sent[sent:] == b""
        assert it.client.transport.ended == "abort"


async def test_client_that_does_not_read_is_told_nothing() -> None:
    """The bytes would only wait behind all the others."""
    async with asked() as it:
        it.stream(TOKEN)
        sent = begun(it)

        cut(it.call, ClientStalled())

        assert it.sent[sent:] == b""
        assert it.client.transport.ended == "abort"


async def test_call_without_a_stream_is_cut_without_a_word() -> None:
    async with asked() as it:
        sent = begun(it)

        refuse(it.call, ERROR)

        assert it.sent[sent:] == b""
        assert it.client.transport.ended == "abort"


@pytest.mark.parametrize("told", [None, b""])
async def test_upstreams_own_words_stand_in_for_those_of_the_dialect_where_there_are_any(told: bytes | None) -> None:
    async with asked() as it, asked() as other:
        for one in (it, other):
            one.stream(TOKEN)
        sent = begun(it)
        begun(other)

        cut(it.call, ERROR, b"data: busy\n\n")
        cut(other.call, ERROR, told)

        assert it.sent[sent:] == chunk(b"data: busy\n\n")
        assert CHAT.error_body(ERROR, "r1") in other.sent


@pytest.mark.parametrize(("release", "word"), [(True, b"event: response.failed\n"), (False, b"event: error\n")])
async def test_error_goes_on_from_what_the_client_has_seen_and_not_from_what_was_held(release: bool, word: bytes) -> None:
    async with asked() as it:
        it.call.dialect = RESPONSES
        it.stream(CREATED, release=release)
        begun(it)

        cut(it.call, ERROR)

        assert word in it.body
