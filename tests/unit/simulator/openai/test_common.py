from __future__ import annotations

import orjson
import pytest

from proxy.errors import BadRequest, Kind
from proxy.simulator.dialect import Failure
from proxy.simulator.openai import common
from proxy.simulator.reply import Tool

TOOLS = [Tool("weather"), Tool("clock")]


@pytest.mark.parametrize(
    ("kind", "code", "word"),
    [
        (Kind.INVALID_REQUEST, None, "invalid_request_error"),
        (Kind.NOT_FOUND, "model_not_found", "invalid_request_error"),
        (Kind.RATE_LIMIT, "rate_limit_exceeded", "requests"),
        (Kind.RATE_LIMIT, "insufficient_quota", "insufficient_quota"),
        (Kind.SERVER, None, "server_error"),
    ],
)
def test_error_body_has_four_fields_and_the_type_of_its_kind(kind: Kind, code: str | None, word: str) -> None:
    body = common.refuse(Failure(status=400, kind=kind, message="Oh.", code=code, param="n"), "ab12").body

    assert body.startswith(b'{"error":{')
    assert orjson.loads(body) == {"error": {"message": "Oh.", "type": word, "param": "n", "code": code}}


def test_headers_are_those_of_openai() -> None:
    headers = common.headers("ab12", 12)

    assert headers["openai-processing-ms"] == "12"
    assert headers["openai-version"] == "2020-10-01"
    assert headers["x-request-id"] == "req_ab12"
    assert {
        f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")
    } <= headers.keys()


@pytest.mark.parametrize(
    ("body", "included"),
    [
        ({"stream": True, "stream_options": {"include_usage": True}}, True),
        ({"stream": True, "stream_options": {"include_usage": False}}, False),
        ({"stream": True, "stream_options": {}}, False),
        ({"stream": True}, False),
    ],
)
def test_usage_is_told_when_asked_for(body: dict[str, object], included: bool) -> None:
    assert common.asks_for_usage(body, body.get("stream_options", {})) is included  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body", [{"stream_options": {"include_usage": True}}, {"stream": True, "stream_options": {"include_usage": "yes"}}]
)
def test_stream_options_are_refused_without_a_stream_or_with_nonsense(body: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match="stream_options"):
        common.asks_for_usage(body, body["stream_options"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["weather"]),
        ("auto", ["weather"]),
        ("required", ["weather"]),
        ("none", []),
        ({"type": "function", "function": {"name": "clock"}}, ["clock"]),
        ({"type": "function", "name": "clock"}, ["clock"]),
    ],
)
def test_tool_choice_chooses_the_tool(choice: object, names: list[str]) -> None:
    calls = common.calls_now({"tool_choice": choice}, TOOLS, "What now?", parallel=None)

    assert [tool.name for tool in calls] == names


def test_tool_choice_of_an_unknown_tool_is_refused() -> None:
    with pytest.raises(BadRequest) as refused:
        common.calls_now({"tool_choice": {"type": "function", "name": "radio"}}, TOOLS, "What now?", parallel=None)

    assert refused.value.param == "tool_choice"


@pytest.mark.parametrize("function", [None, 5, {}, {"name": ""}, {"name": 7}])
def test_tool_without_a_name_is_refused(function: object) -> None:
    with pytest.raises(BadRequest) as refused:
        common.function_tool(function)

    assert refused.value.param == "tools"
