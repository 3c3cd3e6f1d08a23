"""Requests for the Anthropic endpoints, and how they are asked without a socket."""

from __future__ import annotations

from typing import Any

import orjson

from proxy.simulator.anthropic.messages import read_messages
from proxy.simulator.dialect import Answer, Event
from tests.unit.simulator.asking import call, events_of, whole_of

VERSION = "2023-06-01"
HELLO = [{"role": "user", "content": "Tell me about tea"}]
BODY: dict[str, Any] = {"model": "demo", "max_tokens": 1000, "messages": HELLO}

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"enum": [1, 2]}}}}
BODIES = [
    {
        "model": "demo",
        "max_tokens": 3000,
        "stream": True,
        "system": [{"type": "text", "text": "Be brief", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": "Use both tools"}],
        "tools": [{"name": "weather", "input_schema": SCHEMA}, {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": False},
        "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
    },
    {
        "model": "demo",
        "max_tokens": 50,
        "stream": True,
        "temperature": 1,
        "cache_control": {"type": "ephemeral"},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Use it"}, {"type": "image", "source": {"type": "url"}}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "So", "signature": "s"},
                    {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "-3"}]}],
            },
        ],
        "tools": [{"name": "weather", "input_schema": SCHEMA}],
        "stop_sequences": ["tea"],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    },
]


def ask(body: Any, version: str | None = VERSION) -> Answer:
    """Ask for a message."""
    return read_messages(call(body, headers={} if version is None else {"anthropic-version": version}))


def whole(body: Any, **shape: int) -> Any:
    """Return the message as one object."""
    return whole_of(ask(body), **shape)


def frames(body: Any, **shape: int) -> list[Event]:
    """Return the message's events as they are on the wire."""
    return events_of(ask({**body, "stream": True}), **shape)


def events(body: Any, **shape: int) -> list[Any]:
    """Return the data of the message's events."""
    return [orjson.loads(frame.bytes.partition(b"data: ")[2]) for frame in frames(body, **shape)]
