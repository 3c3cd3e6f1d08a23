from __future__ import annotations

import orjson
import pytest

from proxy.dialects import CHAT
from proxy.dialects.base import CONTENT, NOTHING, Answer, Blind, Dialect, RequestView
from proxy.exchange import Usage

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
ANSWER = orjson.dumps({"id": "chatcmpl-1", "choices": [], "usage": USAGE, "service_tier": "default"})


def answer_of(*pieces: bytes, clean: bool = True) -> Answer:
    answer = Answer(CHAT)
    for piece in pieces:
        answer.feed(piece)
    answer.complete(clean=clean)
    return answer


def embeddings(numbers: int) -> bytes:
    vectors = [{"object": "embedding", "index": index, "embedding": [0.123456] * 1536} for index in range(numbers)]
    return orjson.dumps({"object": "list", "data": vectors, "model": "m", "usage": {"prompt_tokens": 8, "total_tokens": 8}})


@pytest.mark.parametrize("clean", [True, False])
def test_a_body_nobody_looks_into_is_complete_when_its_framing_is(clean: bool) -> None:
    blind = Blind()

    seen = [blind.feed(b"\x00\x01"), blind.event(b"\x02")]

    assert seen == [CONTENT, CONTENT]
    assert blind.complete(clean=clean) is clean
    assert not blind.splitter.held


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_whole_answer_s_usage_is_read_however_it_came(size: int) -> None:
    answer = answer_of(*(ANSWER[at : at + size] for at in range(0, len(ANSWER), size)))

    assert answer.usage == Usage(9, 2)


@pytest.mark.parametrize("body", [ANSWER, embeddings(40), b"<html>"], ids=["small", "large", "no JSON"])
def test_an_answer_that_came_at_once_has_the_usage_of_one_that_came_in_pieces(body: bytes) -> None:
    assert CHAT.usage_of_whole(body) == answer_of(body[:50], body[50:]).usage


def test_a_large_answer_s_usage_is_read_from_its_end() -> None:
    """A batch of embeddings takes megabytes, and its usage stands last."""
    body = embeddings(40)
    assert len(body) > Answer.CAP

    answer = answer_of(*(body[at : at + 10_000] for at in range(0, len(body), 10_000)))

    assert answer.usage == Usage(8, None)


def test_an_answer_of_middling_size_is_read_whole() -> None:
    """Its usage may stand first."""
    body = orjson.dumps({"usage": USAGE, "choices": ["x" * 2 * Answer.TAIL]})

    assert answer_of(body[:100], body[100:]).usage == Usage(9, 2)


def test_of_a_large_answer_only_the_end_is_kept() -> None:
    answer = Answer(CHAT)

    for _ in range(100):
        answer.feed(b"x" * 10_000)

    assert sum(map(len, answer._copy)) <= Answer.CAP + 10_000
    answer.feed(b"x")
    assert sum(map(len, answer._copy)) == Answer.TAIL


def test_a_truncated_answer_has_no_usage_and_is_not_complete() -> None:
    answer = Answer(CHAT)
    answer.feed(ANSWER)

    assert not answer.complete(clean=False)
    assert answer.usage is None


def test_a_complete_answer_keeps_no_copy() -> None:
    answer = answer_of(ANSWER)

    assert answer._copy == []


def test_white_space_before_the_json_is_no_content() -> None:
    """DeepSeek sends empty lines while a request waits in its queue: the model has not begun."""
    answer = Answer(CHAT)

    seen = [answer.feed(piece) for piece in (b"\n", b"\r\n \n", b'\n{"id":', b"\n", b"1}")]

    assert seen == [NOTHING, NOTHING, CONTENT, CONTENT, CONTENT]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"usage":null}', b'{"usage":[]}', b'"usage"'])
def test_an_answer_that_says_nothing_of_usage_has_none(body: bytes) -> None:
    answer = Answer(CHAT)
    answer.feed(body)

    assert answer.complete(clean=True)
    assert answer.usage is None


def test_a_request_s_view_says_the_least_by_default() -> None:
    view = RequestView("m")

    assert (view.model, view.stream, view.place, view.stateful, dict(view.values)) == ("m", False, None, False, {})


def test_a_dialect_tells_no_error_that_it_cannot_read() -> None:
    assert Dialect.answer_event(CHAT, b'{"error":{"message":"m"}}') is None


def test_most_apis_write_a_stream_in_one_form_only() -> None:
    assert CHAT.asked_with(b"?alt=sse") is CHAT
