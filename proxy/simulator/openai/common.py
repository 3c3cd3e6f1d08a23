"""What all endpoints of the OpenAI dialect share: headers, error bodies, usage, event frames, and the tools of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from proxy.errors import BadRequest, Kind
from proxy.simulator.dialect import Dialect, Failure, Refusal, retry_after
from proxy.simulator.fields import Fields
from proxy.simulator.reply import Reply, Tool, tools_to_call

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
PROCESSING: Final = b": OPENROUTER PROCESSING\n\n"  # OpenAI itself stays silent; OpenRouter speaks this dialect and does not
DONE: Final = b"data: [DONE]\n\n"

_TYPES: Final = {
    Kind.RATE_LIMIT: "requests",
    Kind.OVERLOADED: "server_error",
    Kind.TIMEOUT: "server_error",
    Kind.SERVER: "server_error",
}
_NO_QUOTA: Final = "insufficient_quota"


def headers(name: str, milliseconds: int) -> dict[str, str]:
    """Return the headers of one answer that took *milliseconds* to begin."""
    return {
        "x-request-id": f"req_{name}",
        "openai-processing-ms": str(milliseconds),
        "openai-version": "2020-10-01",
        "openai-organization": "simulator",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "1999000",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "30ms",
    }


def error_object(failure: Failure) -> dict[str, Any]:
    """Return the `error` object for *failure*."""
    kind = _NO_QUOTA if failure.code == _NO_QUOTA else _TYPES.get(failure.kind, "invalid_request_error")
    return {"message": failure.message, "type": kind, "param": failure.param, "code": failure.code}


def refuse(failure: Failure, _: str) -> Refusal:
    """Return an error answer; `error` is the first key of its body, without a space, as go-openai wants it."""
    return Refusal(orjson.dumps({"error": error_object(failure)}), retry_after(failure))


def data_frame(data: Mapping[str, Any]) -> bytes:
    """Return an event that has data only."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def chat_usage(tokens_in: int, replies: Sequence[Reply]) -> dict[str, Any]:
    """Return the usage object of chat and legacy completions."""
    tokens_out = sum(reply.tokens for reply in replies)
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(len(reply.reasoning) for reply in replies),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def thinks(model: str) -> bool:
    """Say whether *model* shows its reasoning."""
    return "think" in model.lower()


def asks_for_usage(fields: Fields, options: Fields) -> bool:
    """Read `stream_options`, which only a stream may carry."""
    if options and not fields.get("stream"):
        raise BadRequest("`stream_options` is only allowed when `stream` is true.", param="stream_options")
    include = options.get("include_usage")
    if include is not None and not isinstance(include, bool):
        raise BadRequest("`stream_options.include_usage` must be true or false.", param="stream_options.include_usage")
    return bool(include)


def function_tool(function: object) -> Tool:
    """Return the tool that a function definition offers."""
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise BadRequest("Every function tool needs a `name`.", param="tools")
    return Tool(name, function.get("parameters"))


def calls_now(fields: Fields, tools: Sequence[Tool], question: str, *, parallel: bool | None) -> tuple[Tool, ...]:
    """Return the tools to call, by `tool_choice` and the words of the question."""
    choice = fields.get("tool_choice")
    if choice == "none":
        return ()
    named = _named(choice)
    if named is not None and all(tool.name != named for tool in tools):
        raise BadRequest("`tool_choice` names a tool that is not in `tools`.", param="tool_choice")
    return tools_to_call(tools, question, named=named, parallel=parallel)


def _named(choice: object) -> str | None:
    """Return the function that `tool_choice` names: nested in chat completions, flat in responses."""
    if not isinstance(choice, dict) or choice.get("type") != "function":
        return None
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else choice.get("name")
    return name if isinstance(name, str) else None


DIALECT: Final = Dialect(refuse=refuse, headers=headers)
