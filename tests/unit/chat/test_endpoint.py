from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy import settings
from proxy.chat import ChatEndpointDialect, endpoints, translators
from proxy.chat.words import OVERLOADED
from proxy.dialects.base import CONTENT, FAILED, NOTHING, TERMINAL, RequestView
from proxy.errors import BadRequest, InternalError
from proxy.sse.frames import Framing

POST = {"method": "POST", "query": "", "request_id": "r1"}


def dialect(**config: Any) -> ChatEndpointDialect:
    return ChatEndpointDialect(settings.ChatEndpoint.model_validate({"path": "/chat", "model": "m", "max_chars": 9, **config}))


def read(body: object, **config: Any) -> dict[str, Any]:
    view = dialect(**config).read_request(orjson.dumps(body), POST)
    assert (view.model, view.stream, view.place) == ("m", True, None)
    return dict(view.values)


def test_a_message_and_a_conversation_are_read() -> None:
    assert read({"message": "hi"}) == {"message": "hi", "chat_id": "r1", "model": "m"}
    assert read({"input": "hi", "s": "s-1"}, message_field="input", session_field="s")["chat_id"] == "s-1"
    assert read({"message": "hi", "s": None}, session_field="s")["chat_id"] == "r1"


def test_a_message_may_come_in_the_query() -> None:
    view = dialect().read_request(b"", {"method": "GET", "query": "message=caf%C3%A9", "request_id": "r1"})

    assert view.values["message"] == "café"


@pytest.mark.parametrize(
    ("method", "events", "named"), [("GET", "token", True), ("GET", "ndjson", False), ("POST", "token", False)]
)
def test_only_a_stream_for_eventsource_has_a_name(method: str, events: str, named: bool) -> None:
    """Others see it in a header; and some, httpx-sse among them, take comments for events once they have seen an `id`."""
    asked = {"method": method, "query": "message=hi", "request_id": "r1"}

    view = dialect(events=events).read_request(b'{"message":"hi"}', asked)

    assert view.values.get("stream_id") == ("r1" if named else None)


@pytest.mark.parametrize("message", [None, "", " ", 1, ["hi"], "x" * 10])
def test_a_bad_message_is_refused_by_its_name(message: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        read({"text": message}, message_field="text")

    assert refused.value.param == "text"


def test_half_a_surrogate_pair_is_no_message() -> None:
    with pytest.raises(BadRequest):
        dialect().read_request(b'{"message":"\\ud83d"}', POST)


@pytest.mark.parametrize("session", ["", "A", 1, "a\n"])
def test_a_bad_session_is_refused_by_its_name(session: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        read({"message": "hi", "s": session}, session_field="s", session_pattern="^[a-z]$")

    assert refused.value.param == "s"


@pytest.mark.parametrize("events", ["token", "message", "ndjson"])
def test_what_is_told_shows_to_the_observer(events: str) -> None:
    it = dialect(events=events)
    style = it.style
    assert style is not None
    observer = it.observer(RequestView("m"))

    assert observer.feed(style.start("c1")) == NOTHING
    assert observer.feed(style.text(b"done error")) == CONTENT
    assert observer.feed(style.event("usage", {"tokens_in": 1})) == NOTHING
    assert observer.event(style.text(b"x") + style.event("done", {"finish_reason": "stop"})) == CONTENT | TERMINAL
    assert observer.complete(clean=False)


@pytest.mark.parametrize("events", ["token", "message", "ndjson"])
def test_a_failure_shows_to_the_observer(events: str) -> None:
    it = dialect(events=events)
    observer = it.observer(RequestView("m"))
    assert it.style is not None

    assert observer.feed(it.style.failure(OVERLOADED)) & FAILED
    assert not observer.complete(clean=True)


def test_the_first_sign_of_life_says_that_it_stands_and_then_hearts_beat() -> None:
    keepalive = dialect().keepalive()
    assert keepalive is not None

    assert keepalive.with_text("other").opening(1.0) == b": connected\n\n"
    assert keepalive.with_text("other").frame(None, id_seen=False, wall=1.5) == b": heartbeat 1500\n\n"
    own = dialect(keepalive_text="still here {unix_ms}").keepalive()
    assert own is not None
    assert own.frame(None, id_seen=False, wall=1.5) == b": still here 1500\n\n"
    assert dialect(events="ndjson").stream_framing is Framing.LINES
    lines = dialect(events="ndjson").keepalive()
    assert lines is not None
    assert lines.frame(None, id_seen=False, wall=1.5) == b" "


def test_the_openai_style_speaks_as_chat_completions_do() -> None:
    it = dialect(events="openai")

    assert it.error_event(InternalError(), "r1", None).startswith(b'data: {"error":{')
    assert it.answer_event(b'{"error":{"message":"m"}}') == b'data: {"error":{"message":"m"}}\n\n'
    assert it.observer(RequestView("m")).feed(b"data: [DONE]\n\n") == TERMINAL


def test_each_endpoint_is_served_by_two_methods_and_translated_in_its_own_name() -> None:
    configured = [settings.ChatEndpoint.model_validate({"path": path, "model": "m"}) for path in ("/a", "/b")]

    served = endpoints(configured)

    assert [(each.method, each.path) for each in served] == [("GET", "/a"), ("POST", "/a"), ("GET", "/b"), ("POST", "/b")]
    assert {each.api for each in served} == {each.source for each in translators(configured)} == {"chat:/a", "chat:/b"}
