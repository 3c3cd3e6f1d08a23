"""The streaming endpoints of all dialects: how each is asked, and what the bytes of its answer mean."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.dialects.eventstream import FrameSplitter, decode
from tests.unit.simulator.support import QUESTION, request

TEXT: Final = {"role": "user", "content": QUESTION}
ANTHROPIC_VERSION: Final = "anthropic-version: 2023-06-01\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One endpoint. `read` returns the complete events of a body as JSON, and how many bytes are left over."""

    path: str
    body: dict[str, Any]
    read: Callable[[bytes], tuple[list[Any], int]]
    text: Callable[[Any], str]  # of one event; empty: it has none
    is_end: Callable[[Any], bool]
    is_error: Callable[[Any], bool]
    more: str = ""
    idle: bytes = b""

    def ask(self, scenario: str) -> bytes:
        """Return the bytes of a request."""
        return request(self.path, self.body, scenario=scenario, more=self.more)

    def texts(self, body: bytes) -> list[str]:
        """Return the pieces of text in the complete events of *body*."""
        return [piece for event in self.read(body)[0] if (piece := self.text(event))]

    def ended(self, body: bytes) -> bool:
        """Tell whether *body* says that the answer is complete."""
        return any(map(self.is_end, self.read(body)[0]))

    def failed(self, body: bytes) -> bool:
        """Tell whether *body* ends with an error."""
        events = self.read(body)[0]
        return bool(events) and self.is_error(events[-1])


def _blocks(separator: bytes) -> Callable[[bytes], tuple[list[Any], int]]:
    def read(body: bytes) -> tuple[list[Any], int]:
        *blocks, rest = body.split(separator)
        data = [block.partition(b"data: ")[2] for block in blocks]
        return [orjson.loads(one) for one in data if one and one != b"[DONE]"], len(rest)

    return read


def _elements(body: bytes) -> tuple[list[Any], int]:
    found: list[Any] = []
    for element in body.removeprefix(b"[").split(b",\r\n"):
        try:
            found.append(orjson.loads(element.removesuffix(b"]")))
        except orjson.JSONDecodeError:
            return found, len(element)
    return found, 0


def _frames(body: bytes) -> tuple[list[Any], int]:
    splitter = FrameSplitter()
    return list(_members([decode(frame) for frame in splitter.feed(body)])), len(splitter.held)


def _members(frames: list[Any]) -> Iterator[Any]:
    for headers, payload in frames:
        event = orjson.loads(payload)
        if headers[":message-type"] == "exception":
            yield {"exception": headers[":exception-type"]}
        elif headers[":event-type"] == "chunk":
            yield orjson.loads(base64.b64decode(event["bytes"]))
        else:
            yield {headers[":event-type"]: event}


def _delta_text(event: Any) -> str:
    return str(event["delta"].get("text", "")) if event["type"] == "content_block_delta" else ""


def _candidate(event: Any) -> Any:
    return event.get("candidates", [{}])[0]


def _gemini(suffix: str, read: Callable[[bytes], tuple[list[Any], int]], idle: bytes) -> Api:
    return Api(
        path=f"/v1beta/models/demo:streamGenerateContent{suffix}",
        body={"contents": [{"role": "user", "parts": [{"text": QUESTION}]}]},
        read=read,
        text=lambda event: str(_candidate(event)["content"]["parts"][0]["text"]) if "candidates" in event else "",
        is_end=lambda event: "finishReason" in _candidate(event),
        is_error=lambda event: "error" in event,
        idle=idle,
    )


APIS: Final = {
    "anthropic": Api(
        path="/v1/messages",
        body={"model": "demo", "max_tokens": 9_000_000, "stream": True, "messages": [TEXT]},
        read=_blocks(b"\n\n"),
        text=_delta_text,
        is_end=lambda event: event["type"] in ("message_delta", "message_stop"),
        is_error=lambda event: event["type"] == "error",
        more=ANTHROPIC_VERSION,
        idle=b'event: ping\ndata: {"type": "ping"}\n\n',
    ),
    "gemini": _gemini("?alt=sse", _blocks(b"\r\n\r\n"), b"\r\n"),
    "gemini array": _gemini("", _elements, b"\n"),
    "converse": Api(
        path="/model/us.anthropic.demo-v1%3A0/converse-stream",
        body={"messages": [{"role": "user", "content": [{"text": QUESTION}]}]},
        read=_frames,
        text=lambda event: str(event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")),
        is_end=lambda event: "messageStop" in event or "metadata" in event,
        is_error=lambda event: "exception" in event,
    ),
    "invoke": Api(
        path="/model/us.anthropic.demo-v1%3A0/invoke-with-response-stream",
        body={"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9_000_000, "messages": [TEXT]},
        read=_frames,
        text=lambda event: "" if "exception" in event else _delta_text(event),
        is_end=lambda event: event.get("type") in ("message_delta", "message_stop"),
        is_error=lambda event: "exception" in event,
    ),
    "azure": Api(
        path="/openai/deployments/demo/chat/completions?api-version=2024-10-21",
        body={"stream": True, "messages": [TEXT]},
        read=_blocks(b"\n\n"),
        text=lambda event: str(event["choices"][0]["delta"].get("content", "")) if event.get("choices") else "",
        is_end=lambda event: bool(event.get("choices")) and event["choices"][0]["finish_reason"] is not None,
        is_error=lambda event: "error" in event,
    ),
}
