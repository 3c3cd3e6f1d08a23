"""Anthropic's side of the tests: settings with such an upstream, its events as bytes, and a request in one call."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from proxy.settings import Settings
from tests.support.answers import CLOCKS, sse
from tests.support.client import RawClient, Response
from tests.support.house import BEARER, FAR, merged, settings
from tests.support.upstream import Reply, answer

MESSAGES: Final = "/v1/messages"
COUNT: Final = "/v1/messages/count_tokens"
PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'


def named(kind: str, **more: Any) -> bytes:
    """Return one event."""
    return sse({"type": kind, **more}, name=kind)


def began(block: Mapping[str, Any], index: int = 0) -> bytes:
    """Return the beginning of a block."""
    return named("content_block_start", index=index, content_block=block)


def delta(kind: str, index: int = 0, **more: str) -> bytes:
    """Return one delta; *kind* without its `_delta`."""
    return named("content_block_delta", index=index, delta={"type": f"{kind}_delta", **more})


def ended(index: int = 0) -> bytes:
    """Return the end of a block."""
    return named("content_block_stop", index=index)


def stopped(reason: str = "end_turn", **usage: Any) -> bytes:
    """Return the two events that end a message."""
    reasons = {"stop_reason": reason, "stop_sequence": None}
    return named("message_delta", delta=reasons, usage={"output_tokens": 15, **usage}) + named("message_stop")


USAGE: Final = {"input_tokens": 25, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 1}
MESSAGE: Final[dict[str, Any]] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": USAGE,
}
STARTED: Final = named("message_start", message=MESSAGE)
BEGUN: Final = STARTED + began({"type": "text", "text": ""})
HI: Final = delta("text", text="Hi")
ENDED: Final = ended() + stopped()
WHOLE: Final = BEGUN + HI + ENDED
TOOLS: Final = (
    BEGUN
    + delta("text", text="Let me look.")
    + ended()
    + began({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}, 1)
    + delta("input_json", 1, partial_json="")
    + delta("input_json", 1, partial_json='{"city": "Oslo"}')
    + ended(1)
    + began({"type": "tool_use", "id": "toolu_2", "name": "clock", "input": {}}, 2)
    + delta("input_json", 2, partial_json="{}")
    + ended(2)
    + stopped("tool_use")
)
THOUGHTS: Final = (
    STARTED
    + began({"type": "thinking", "thinking": "", "signature": ""})
    + delta("thinking", thinking="Hm")
    + PING
    + delta("signature", signature="EqQB")
    + ended()
    + began({"type": "redacted_thinking", "data": "EmwK"}, 1)
    + ended(1)
    + stopped(output_tokens_details={"thinking_tokens": 9})
)
OVERLOADED: Final = named("error", error={"type": "overloaded_error", "message": "Overloaded"}, request_id="req_1")


def refused(status: int, kind: str, message: str = "m", code: str = "", **headers: str) -> Reply:
    """Return an error answer."""
    error = {"type": kind, "message": message, **({"details": {"error_code": code}} if code else {})}
    told = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return replace(answer({"type": "error", "error": error, "request_id": "req_1"}, status, told), reason=kind)


def claude(
    *urls: str, streaming: Mapping[str, str] | None = None, models: Iterable[Mapping[str, Any]] = (), **changes: Any
) -> Settings:
    """Return settings with upstreams of Anthropic's kind at *urls*, and `claude-*` served by them in order.

    Every clock is far away unless *streaming* moves it near. *models* come first.
    """
    names = [chr(ord("a") + index) for index in range(len(urls))]
    kinds = {
        name: {"kind": "anthropic", "base_url": url, "api_key": f"sk-ant-upstream-{name}"}
        for name, url in zip(names, urls, strict=True)
    }
    served = [*models, {"name": "claude-*", "targets": [{"upstream": name} for name in names]}]
    changes["upstreams"] = merged(kinds, changes.get("upstreams", {}))
    return settings(*urls, streaming={**CLOCKS, "keepalive_interval": FAR, **(streaming or {})}, models=served, **changes)


def message(*, stream: bool = True, model: str = "claude-x", **more: Any) -> bytes:
    """Return the body of a request."""
    told = {"model": model, "max_tokens": 99, "stream": stream, "messages": [{"role": "user", "content": "hi"}], **more}
    return json.dumps(told).encode()


async def ask_claude(
    client: RawClient, body: bytes = b"", *, headers: list[tuple[str, str]] | None = None, path: str = MESSAGES
) -> Response:
    """Send one request (default: for a streamed message) and return its answer, whose head is in."""
    return await client.request("POST", path, BEARER if headers is None else headers, body or message())
