from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.chat.styles import STYLES
from proxy.chat.translator import MessageAsChat
from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.translate import EventTranslator, Source, Translated
from tests.support.answers import ERROR_EVENT, FINISH, ROLE, TOKEN, USAGE, delta, sse
from tests.support.upstream import DONE

SAID = b'event: token\ndata: {"text":"Hi"}\n\n'
USED = b'event: usage\ndata: {"tokens_in":3,"tokens_out":5,"cost_usd":0.5,"model":"public"}\n\n'
END = b'event: done\ndata: {"finish_reason":"stop"}\n\n'


def asked(style: str = "token", system: str | None = None, **more: str) -> Translated:
    values = {"message": "hi", "chat_id": "c1", "model": "public", **more}
    source = Source(values=values, model="theirs", stream=True, request_id="r1", now=1, cost=lambda usage: 0.5)
    return MessageAsChat("chat:/x", STYLES.get(style), system).request(source)


def telling(style: str = "token") -> EventTranslator:
    return asked(style).back.events()


def told(*reads: bytes, clean: bool = True, style: str = "token") -> bytes:
    events = telling(style)
    return b"".join([*(events.feed(read) for read in reads), events.end(clean=clean)])


def test_a_message_becomes_a_chat_request_that_asks_for_usage() -> None:
    request = asked(system="Be kind.")

    assert request.path == b"/v1/chat/completions"
    assert orjson.loads(request.body) == {
        "model": "theirs",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_without_a_system_prompt_there_is_only_the_message() -> None:
    assert orjson.loads(asked().body)["messages"] == [{"role": "user", "content": "hi"}]


STREAM = ROLE + TOKEN + TOKEN + delta(reasoning_content="hm") + TOKEN + FINISH + USAGE + DONE


def test_tokens_are_told_in_the_call_that_brings_them_and_usage_and_end_at_the_end() -> None:
    events = telling()

    assert [events.feed(read) for read in (ROLE, TOKEN, TOKEN, FINISH, USAGE, DONE)] == [b"", SAID, SAID, b"", b"", USED + END]
    assert events.usage == Usage(3, 5)


@pytest.mark.parametrize("reads", [[ROLE, TOKEN, TOKEN, DONE], [ROLE + TOKEN + TOKEN + DONE]])
def test_the_first_event_says_the_name_of_a_stream_that_has_one(reads: list[bytes]) -> None:
    events = asked(stream_id="r1").back.events()

    assert b"".join(events.feed(read) for read in reads) == b"id: r1\n" + SAID * 2 + END


def test_an_end_that_is_the_first_event_says_the_name() -> None:
    events = asked(stream_id="r1").back.events()

    assert (events.feed(FINISH), events.end(clean=True)) == (b"", b"id: r1\n" + END)


@given(st.lists(st.integers(0, len(STREAM)), max_size=10))
def test_it_is_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    reads: Iterable[bytes] = (STREAM[start:end] for start, end in pairwise([0, *sorted(cuts), len(STREAM)]))

    assert told(*reads) == SAID * 3 + USED + END


@pytest.mark.parametrize(
    ("reads", "clean", "out"),
    [
        pytest.param((TOKEN, FINISH), True, SAID + END, id="finished and closed in good order"),
        pytest.param((TOKEN, FINISH), False, SAID, id="finished, then cut"),
        pytest.param((TOKEN,), True, SAID, id="closed before it was finished"),
        pytest.param((TOKEN, DONE, TOKEN, DONE), True, SAID + END, id="something behind the end"),
        pytest.param((TOKEN, b"data: {x}\n\n", sse([1]), sse({"choices": 1}), sse({"choices": [1]}), DONE), True, SAID + END, id="what is no chunk"),
        pytest.param((delta(content=7), delta(content=""), sse({"choices": [{"delta": 1}]}), DONE), True, END, id="deltas that say nothing"),
        pytest.param((delta(refusal="No."), DONE), True, b'event: token\ndata: {"text":"No."}\n\n' + END, id="a refusal"),
        pytest.param((delta("length", content="Hi"), DONE), True, SAID + END.replace(b"stop", b"length"), id="the last token with its reason"),
    ],
)  # fmt: skip
def test_nothing_is_told_that_was_not_said(reads: tuple[bytes, ...], clean: bool, out: bytes) -> None:
    assert told(*reads, clean=clean) == out


def test_an_error_in_the_stream_ends_it_with_a_sentence() -> None:
    out = told(TOKEN, ERROR_EVENT, TOKEN, DONE)

    assert out.startswith(SAID + b'event: error\ndata: {"message":"Overloaded')
    assert out.endswith(b'event: done\ndata: {"finish_reason":"error","code":"RATE_LIMIT"}\n\n')


def test_the_message_style_begins_with_its_start() -> None:
    assert told(ROLE, TOKEN, style="message").startswith(b'event: start\ndata: {"chat_id":"c1","type":"start"}\n\nevent: message')


def test_the_openai_style_keeps_the_chunks_but_not_the_usage_that_nobody_asked_for() -> None:
    assert told(ROLE, TOKEN, FINISH, USAGE, DONE, style="openai") == ROLE + TOKEN + FINISH + DONE


def test_an_error_answer_becomes_a_sentence_and_a_whole_one_cannot_be_told() -> None:
    back = asked().back

    assert back.error(429, b"<html>") == (429, b'{"error":{"message":"Overloaded, please try again soon.","code":"RATE_LIMIT"}}')
    with pytest.raises(UpstreamMalformed):
        back.whole(b"{}")
