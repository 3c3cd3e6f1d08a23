from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.errors import BadRequest, Kind
from proxy.simulator.anthropic.messages import read_count, read_messages
from proxy.simulator.dialect import Failure
from tests.unit.simulator.anthropic.support import BODY, VERSION, ask, frames
from tests.unit.simulator.asking import NAME, call, stream_of, whole_of

COUNTED = {"model": "demo", "messages": BODY["messages"]}


def test_stream_is_told_only_when_asked_for() -> None:
    assert ask(BODY).stream is None
    assert stream_of(ask({**BODY, "stream": True})).content_type == "text/event-stream; charset=utf-8"


def test_every_event_stands_under_the_name_of_its_type() -> None:
    for frame in frames(BODY, tokens=2):
        name, data = frame.bytes.removesuffix(b"\n\n").split(b"\n")

        assert name.decode() == f"event: {orjson.loads(data.removeprefix(b'data: '))['type']}"


def test_idle_stream_sends_pings() -> None:
    assert stream_of(ask({**BODY, "stream": True})).idle == b'event: ping\ndata: {"type": "ping"}\n\n'


def test_error_event_is_named_and_tells_the_request() -> None:
    frame = stream_of(ask({**BODY, "stream": True})).error_event(Failure(status=529, kind=Kind.SERVER, message="Oh."), 3)

    name, data = frame.removesuffix(b"\n\n").split(b"\n")
    assert name == b"event: error"
    assert orjson.loads(data.removeprefix(b"data: ")) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "Oh."},
        "request_id": f"req_{NAME}",
    }


def test_tokens_are_counted_without_a_limit() -> None:
    assert whole_of(read_count(call(COUNTED, headers={"anthropic-version": VERSION}))) == {"input_tokens": 9}


@pytest.mark.parametrize("read", [read_messages, read_count])
@pytest.mark.parametrize(
    ("headers", "change", "param"),
    [({}, {}, "anthropic-version"), ({"anthropic-version": VERSION}, {"model": None}, "model")],
)
def test_version_and_model_are_required(read: Any, headers: dict[str, str], change: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(call({**BODY, **change}, headers=headers))

    assert refused.value.param == param


def test_wrong_wish_for_a_stream_is_refused() -> None:
    with pytest.raises(BadRequest) as refused:
        ask({**BODY, "stream": "yes"})

    assert refused.value.param == "stream"
