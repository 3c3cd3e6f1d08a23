"""Usage that only the proxy asked for: the client's stream is what it would have been without."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange import Usage
from proxy.sse.events import CAP
from proxy.translate.asked_usage import AskedUsage, UsageTaken, with_usage_asked

USAGE = b'{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}'
LAST = b'data: {"id":"c","choices":[],"usage":' + USAGE + b"}\n\n"
DONE = b"data: [DONE]\n\n"


def token(text: bytes, more: bytes = b"") -> bytes:
    return b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"' + text + b'"}}]' + more + b"}\n\n"


NULL = b',"usage":null'
ASKED = token(b"a", NULL) + token(b'say \\"usage\\":null', NULL) + LAST + DONE
PLAIN = token(b"a") + token(b'say \\"usage\\":null') + DONE


def taken(*reads: bytes) -> tuple[bytes, Usage | None]:
    translator = AskedUsage().events()
    out = b"".join([translator.feed(read) for read in reads])
    return out + translator.end(clean=True), translator.usage


@pytest.mark.parametrize(
    ("body", "asking"),
    [
        (b'{"model":"m"}', b'{"model":"m","stream_options":{"include_usage":true}}'),
        (b'{"model":"m" } \n', b'{"model":"m" ,"stream_options":{"include_usage":true}}'),
        (
            b'{"stream_options" : { "include_obfuscation":false},"model":"m"}',
            b'{"stream_options" : { "include_usage":true,"include_obfuscation":false},"model":"m"}',
        ),
        (b'{"stream_options":{}}', b'{"stream_options":{"include_usage":true}}'),
    ],
)
def test_the_wish_is_put_into_the_body_and_nothing_else_changes(body: bytes, asking: bytes) -> None:
    assert with_usage_asked(body, orjson.loads(body)) == asking
    assert orjson.loads(asking)["stream_options"]["include_usage"] is True


@pytest.mark.parametrize(
    "options", [None, {"include_usage": True}, {"include_usage": False}, {"include_usage": None}, "all", [True]]
)
def test_a_client_that_has_its_own_say_keeps_it(options: Any) -> None:
    body = orjson.dumps({"model": "m", "stream_options": options})

    assert with_usage_asked(body, orjson.loads(body)) is None


def test_where_the_wish_belongs_must_be_beyond_doubt() -> None:
    body = b'{"metadata":{"stream_options":{}},"stream_options":{}}'

    assert with_usage_asked(body, orjson.loads(body)) is None


def test_what_came_of_the_wish_is_taken_out_again() -> None:
    assert taken(ASKED) == (PLAIN, Usage(3, 5))


def test_a_chunk_without_usage_passes_in_the_call_that_brings_it() -> None:
    translator = UsageTaken()

    assert translator.feed(token(b"a")) == token(b"a")
    assert translator.feed(token(b"b", NULL)) == token(b"b")


@given(st.lists(st.integers(0, len(ASKED)), max_size=12))
def test_it_is_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(ASKED)]

    assert taken(*(ASKED[start:end] for start, end in pairwise(edges))) == (PLAIN, Usage(3, 5))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_any_line_end_will_do(end: bytes) -> None:
    out, usage = taken(ASKED.replace(b"\n", end))

    assert out == PLAIN.replace(b"\n", end)
    assert usage == Usage(3, 5)


def test_usage_beside_choices_stays_where_the_upstream_put_it_and_counts() -> None:
    stream = token(b"a", b',"usage":' + USAGE) + DONE

    assert taken(stream) == (stream, Usage(3, 5))


@pytest.mark.parametrize("last", [b'data: {"choices":[],"usage":[1]}\n\n', b'data: {"usage":\n\n', b": a comment\n\n"])
def test_what_is_no_usage_passes_as_it_is(last: bytes) -> None:
    assert taken(last) == (last, None)


def test_half_an_event_passes_at_the_end_as_it_is() -> None:
    assert taken(token(b"a"), b'data: {"cho') == (token(b"a") + b'data: {"cho', None)


def test_an_event_beyond_the_cap_passes_as_it_is_and_what_follows_is_looked_at_again() -> None:
    huge = token(b"x" * (CAP + 200_000), NULL)
    reads = [huge[at : at + 65_536] for at in range(0, len(huge), 65_536)]
    translator = UsageTaken()

    out = b"".join([translator.feed(read) for read in reads])

    assert out == huge
    assert translator.feed(LAST + DONE) == DONE
    assert translator.usage == Usage(3, 5)


def test_heads_and_other_answers_are_the_clients_own() -> None:
    back = AskedUsage()

    assert back.same_api
    assert back.whole(b"{}") == b"{}"
    assert back.error(503, b"busy") == (503, b"busy")
