from __future__ import annotations

import string

import orjson
import pytest

from proxy.dialects.eventstream import decode
from proxy.errors import Kind
from proxy.simulator.bedrock import common
from proxy.simulator.dialect import Failure
from proxy.simulator.reply import Reply
from tests.unit.simulator.asking import NAME


def failure(status: int = 500, code: str | None = None) -> Failure:
    return Failure(status=status, kind=Kind.SERVER, message="Oh.", code=code, retry_after=7.0)


@pytest.mark.parametrize(
    ("status", "code", "name"),
    [
        (400, None, "ValidationException"),
        (403, None, "AccessDeniedException"),
        (404, None, "ResourceNotFoundException"),
        (405, None, "ValidationException"),
        (408, None, "ModelTimeoutException"),
        (429, "rate_limit_exceeded", "ThrottlingException"),
        (500, "server_error", "InternalServerException"),
        (502, None, "InternalServerException"),
        (503, None, "ServiceUnavailableException"),
        (500, "service_unavailable_exception", "ServiceUnavailableException"),
    ],
)
def test_exception_at_the_call_is_named_in_a_header(status: int, code: str | None, name: str) -> None:
    refusal = common.refuse(failure(status, code), NAME)

    assert refusal.headers["x-amzn-ErrorType"].split(":", 1)[0] == name
    assert refusal.headers.keys() == {"x-amzn-ErrorType"}
    assert orjson.loads(refusal.body) == {"message": "Oh."}


def test_exception_in_a_stream_begins_with_a_small_letter() -> None:
    headers, payload = decode(common.exception_frame(failure(500, "throttling_exception")))

    assert headers == {
        ":exception-type": "throttlingException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    assert orjson.loads(payload) == {"message": "Oh."}


def test_error_of_the_models_own_stream_tells_its_status() -> None:
    headers, payload = decode(common.exception_frame(failure(424)))

    assert headers[":exception-type"] == "modelStreamErrorException"
    assert orjson.loads(payload) == {"message": "Oh.", "originalStatusCode": 424, "originalMessage": "Oh."}


def test_events_are_padded_by_different_lengths_and_always_the_same_way() -> None:
    frames = [common.event_frame("contentBlockDelta", {"contentBlockIndex": index}) for index in range(8)]

    paddings = [orjson.loads(decode(frame).payload)["p"] for frame in frames]

    assert len({len(padding) for padding in paddings}) > 4
    assert all((string.ascii_letters + string.digits).startswith(padding) for padding in paddings)
    assert frames[0] == common.event_frame("contentBlockDelta", {"contentBlockIndex": 0})
    assert decode(frames[0]).headers == {
        ":event-type": "contentBlockDelta",
        ":content-type": "application/json",
        ":message-type": "event",
    }


def test_request_id_is_written_as_a_uuid() -> None:
    assert common.headers(NAME, 12) == {"x-amzn-RequestId": "01234567-89ab-cdef-0123-456789abcdef"}


def test_stream_of_chunks_tells_what_is_in_them() -> None:
    assert common.INVOKE_STREAM.headers(NAME, 12) == {
        **common.headers(NAME, 12),
        "X-Amzn-Bedrock-Content-Type": "application/json",
    }


def test_latency_grows_with_the_answer() -> None:
    assert common.latency(Reply(id="ab", reasoning=("So",), text=("Well", "."), calls=(), cut=False)) == 90
