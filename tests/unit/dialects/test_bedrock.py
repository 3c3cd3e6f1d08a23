from __future__ import annotations

import orjson
import pytest
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]

from proxy.dialects.base import Answer, Blind, Framing, RequestView
from proxy.dialects.bedrock import Bedrock, BedrockTokens, Converse, Invoke
from proxy.dialects.bedrock_events import ConverseObserver, InvokeObserver
from proxy.errors import (
    BadRequest,
    BodyTooLarge,
    Drained,
    Expired,
    Forbidden,
    InternalError,
    Kind,
    ModelNotFound,
    ProxyError,
    TooManyStreamsOfSubject,
    Unauthenticated,
    UpstreamReset,
    UpstreamStalled,
    UpstreamTimeout,
)
from proxy.exchange import Usage
from tests.support.bedrock import ANSWER, ASK, CLAUDE_USAGE, MODEL

VIEW = RequestView(MODEL)
PARAMS = {"model": MODEL, "content-type": "application/json"}
DIALECTS = (Converse(), Invoke(), BedrockTokens())
FRAMES_OF = b"application/vnd.amazon.eventstream"


@pytest.mark.parametrize("kind", [Converse, Invoke])
@pytest.mark.parametrize("stream", [False, True])
def test_the_path_says_the_model_and_whether_a_stream_is_wanted(kind: type[Bedrock], stream: bool) -> None:
    view = kind(stream=stream).read_request(ASK, PARAMS)

    assert (view.model, view.stream, view.place) == (MODEL, stream, None)


def test_a_converse_request_can_be_translated() -> None:
    assert Converse().read_request(ASK, PARAMS).values == orjson.loads(ASK)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages":\xff}'])
def test_a_converse_request_that_is_no_json_is_refused_here(body: bytes) -> None:
    with pytest.raises(BadRequest):
        Converse().read_request(body, PARAMS)


@pytest.mark.parametrize("body", [b"", b"\xff\xd8 an image", b'{"prompt":"hi","model":1,"model":2}'])
def test_a_model_s_own_body_is_not_looked_at(body: bytes) -> None:
    assert Invoke().read_request(body, PARAMS) == RequestView(MODEL)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_model_whose_name_is_no_text_is_refused(dialect: Bedrock) -> None:
    with pytest.raises(BadRequest) as refused:
        dialect.read_request(ASK, {"model": b"a\xff".decode("utf-8", "surrogateescape")})

    assert refused.value.param == "modelId"


@pytest.mark.parametrize(("dialect", "observer"), [(Converse(), ConverseObserver), (Invoke(), InvokeObserver)])
def test_binary_frames_are_followed_as_events(dialect: Bedrock, observer: type) -> None:
    found, framing = dialect.observed(VIEW, FRAMES_OF)

    assert (type(found), framing) == (observer, Framing.FRAMES)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_answers_of_other_types_are_whole_or_unknown(dialect: Bedrock) -> None:
    whole, framing = dialect.observed(VIEW, b"application/json")
    unknown, opaque = dialect.observed(VIEW, b"text/event-stream")

    assert (type(whole), framing) == (Answer, Framing.WHOLE)
    assert (type(unknown), opaque) == (Blind, Framing.OPAQUE)


def test_frames_where_none_are_known_are_content() -> None:
    found, framing = BedrockTokens().observed(VIEW, FRAMES_OF)

    assert (type(found), framing) == (Blind, Framing.FRAMES)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_may_keep_a_stream_alive(dialect: Bedrock) -> None:
    """So a response is never committed before the upstream has answered."""
    assert dialect.keepalive() is None


def test_usage_of_a_whole_answer_is_read() -> None:
    assert Converse().usage_of(orjson.dumps(ANSWER)) == Usage(28, 5, 6, 2)
    assert Converse().usage_of(b'xt"}]},"usage":{"inputTokens":3,"outputTokens":4}}') == Usage(3, 4)
    assert Invoke().usage_of(orjson.dumps({"content": [], "usage": CLAUDE_USAGE})) == Usage(16, 1, 3, 2)
    assert Invoke().usage_of(b"\x89PNG") is None
    assert BedrockTokens().usage_of(b'{"inputTokens":7,"usage":{"inputTokens":7}}') is None


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (BadRequest("no"), b"ValidationException"),
        (Unauthenticated("missing"), b"UnrecognizedClientException"),
        (Forbidden("model_not_allowed"), b"AccessDeniedException"),
        (ModelNotFound(), b"ResourceNotFoundException"),
        (BodyTooLarge(), b"ValidationException"),
        (TooManyStreamsOfSubject(), b"ThrottlingException"),
        (Drained(), b"ServiceUnavailableException"),
        (UpstreamTimeout(), b"ModelTimeoutException"),
        (UpstreamReset(), b"InternalServerException"),
    ],
)
def test_an_error_has_its_exception_s_name_in_a_header_and_its_words_in_the_body(error: ProxyError, name: bytes) -> None:
    assert Converse().error_headers(error) == ((b"x-amzn-ErrorType", name),)
    assert orjson.loads(Converse().error_body(error, "r1")) == {"message": error.public}


def test_every_kind_of_error_has_an_exception() -> None:
    for kind in Kind:
        assert Converse().error_headers(type("Some", (ProxyError,), {"kind": kind})())


@pytest.mark.parametrize(
    ("error", "converse", "invoke"),
    [
        (InternalError(), "internalServerException", "internalServerException"),
        (UpstreamReset(), "modelStreamErrorException", "modelStreamErrorException"),
        (UpstreamStalled(), "modelStreamErrorException", "modelTimeoutException"),
        (Expired(), "internalServerException", "modelTimeoutException"),
        (Drained(), "serviceUnavailableException", "serviceUnavailableException"),
        (TooManyStreamsOfSubject(), "throttlingException", "throttlingException"),
    ],
)
def test_an_error_in_a_stream_is_a_genuine_frame(error: ProxyError, converse: str, invoke: str) -> None:
    for dialect, name in ((Converse(), converse), (Invoke(), invoke)):
        buffer = EventStreamBuffer()
        buffer.add_data(dialect.error_event(error, "r1", None))
        (message,) = buffer

        assert message.headers == {
            ":exception-type": name,
            ":content-type": "application/json",
            ":message-type": "exception",
        }
        assert orjson.loads(message.payload) == {"message": error.public}
