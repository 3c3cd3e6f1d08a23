"""Two translators in a row are one: what the far one brings back, the near one turns into the client's words."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson
import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.exchange import Usage
from proxy.translate.base import Back, EventTranslator, Source, Translated, Translator
from proxy.translate.chain import Chain
from proxy.translate.chat_to_gemini import ChatToGemini
from proxy.translate.chat_to_messages import ChatToMessages
from proxy.translate.messages_as_chat import MessagesAsChat
from proxy.translate.responses_as_chat import ResponsesAsChat
from tests.support import claude
from tests.unit.translate import messages_asking as messages
from tests.unit.translate import responses_asking as responses

SOURCE: Final = Source(values={"a": 1}, model="m", stream=True, request_id="r1", now=7, drop_params=True)


class Marking(EventTranslator):
    """Puts its mark around what it gets, and says nothing of a lone dot."""

    def __init__(self, mark: bytes) -> None:
        super().__init__()
        self._mark = mark

    def feed(self, data: bytes) -> bytes:
        self.usage = Usage(tokens_in=len(data))
        return b"" if data == b"." else self._mark + data

    def end(self, *, clean: bool) -> bytes:
        return self._mark + (b"end" if clean else b"cut")


class MarkingBack(Back):
    def __init__(self, mark: bytes) -> None:
        self._mark = mark

    def events(self) -> EventTranslator:
        return Marking(self._mark)

    def whole(self, body: bytes) -> bytes:
        return self._mark + body

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        return status + 1, self._mark + body


class Step(Translator):
    """Wraps a request up in its target's name."""

    def __init__(self, source: str, target: str) -> None:
        self.source = source
        self.target = target

    def request(self, source: Source) -> Translated:
        body = orjson.dumps({self.target: source.values, "model": source.model, "drop": source.drop_params})
        path = f"/{self.target}".encode()
        return Translated(path=path, body=body, back=MarkingBack(self.target[:1].encode()), headers=((b"X-To", path),))


CHAIN: Final = Chain(Step("one", "two"), Step("two", "three"))


def test_a_request_goes_through_both_and_is_asked_where_the_far_one_says() -> None:
    asked = CHAIN.request(SOURCE)

    middle = {"two": {"a": 1}, "model": "m", "drop": True}
    assert orjson.loads(asked.body) == {"three": middle, "model": "m", "drop": True}
    assert (asked.path, asked.headers) == (b"/three", ((b"X-To", b"/three"),))
    assert (CHAIN.source, CHAIN.target) == ("one", "three")


def test_events_come_back_through_both_in_the_same_call() -> None:
    events = CHAIN.request(SOURCE).back.events()

    assert events.feed(b"x") == b"ttx"
    assert events.feed(b".") == b""
    assert events.usage == Usage(tokens_in=1)


def test_both_have_their_last_word_in_order() -> None:
    assert CHAIN.request(SOURCE).back.events().end(clean=True) == b"tt" + b"end" + b"tend"
    assert CHAIN.request(SOURCE).back.events().end(clean=False) == b"tt" + b"cut" + b"tcut"


def test_whole_answers_and_errors_come_back_through_both() -> None:
    back = CHAIN.request(SOURCE).back

    assert back.whole(b"x") == b"ttx"
    assert back.error(500, b"x") == (502, b"ttx")


BY_WAY_OF_CHAT: Final = Chain(ResponsesAsChat(), ChatToMessages())


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"properties": value}
    return value


def test_half_a_surrogate_pair_gets_through_both_as_it_was_written() -> None:
    asked = BY_WAY_OF_CHAT.request(responses.source("a \ud83d"))

    assert b'"a \\ud83d"' in asked.body
    assert json.loads(asked.body)["messages"] == [{"role": "user", "content": [{"type": "text", "text": "a \ud83d"}]}]


def test_what_is_nested_too_deeply_on_the_way_is_the_clients_fault() -> None:
    deep = responses.source(tools=[{**responses.WEATHER, "parameters": nested(1020)}])

    with pytest.raises(BadRequest, match="nested too deeply"):
        BY_WAY_OF_CHAT.request(deep)


def test_what_cannot_be_carried_is_named_as_the_client_knows_it() -> None:
    as_json = responses.source(text={"format": {"type": "json_object"}})

    with pytest.raises(Untranslatable) as refused:
        BY_WAY_OF_CHAT.request(as_json)

    assert refused.value.param == "text.format"
    assert refused.value.public == "The parameter 'text.format' must come with a schema for this model's backend."


def test_what_is_called_the_same_in_both_keeps_its_name() -> None:
    with pytest.raises(BadRequest) as refused:
        BY_WAY_OF_CHAT.request(responses.source(temperature=9))

    assert refused.value.param == "temperature"


def test_one_call_at_a_time_is_named_as_a_client_of_anthropics_knows_it() -> None:
    choice = {"type": "any", "disable_parallel_tool_use": True}
    asked = messages.source(tools=[messages.WEATHER], tool_choice=choice)

    with pytest.raises(Untranslatable) as refused:
        Chain(MessagesAsChat(), ChatToGemini()).request(asked)

    assert refused.value.param == "tool_choice.disable_parallel_tool_use"


def test_a_reason_to_stop_without_the_upstreams_last_event_is_no_end_in_any_api() -> None:
    events = BY_WAY_OF_CHAT.request(responses.source(stream=True)).back.events()
    stopped, _ = claude.stopped().split(b"event: message_stop")

    events.feed(claude.BEGUN + claude.HI + claude.ended() + stopped)

    assert b"response.completed" not in events.end(clean=True)
    assert events.unfinished
