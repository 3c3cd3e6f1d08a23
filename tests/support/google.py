"""Google's side of the tests: settings with such an upstream, its events as bytes, and a request in one call."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from proxy.settings import Settings
from tests.support.answers import CLOCKS
from tests.support.client import RawClient, Response
from tests.support.house import KEY, merged, settings
from tests.support.upstream import Reply, answer

MODEL: Final = "gemini-x"
GENERATE: Final = f"/v1beta/models/{MODEL}:generateContent"
STREAM: Final = f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
ARRAY: Final = f"/v1beta/models/{MODEL}:streamGenerateContent"
COUNT: Final = f"/v1beta/models/{MODEL}:countTokens"
BLANK: Final = b"\n"
GOOG: Final = [("x-goog-api-key", KEY)]


def response(*parts: Mapping[str, Any], finish: str = "", said: int = 0, **more: Any) -> dict[str, Any]:
    """Return one response with these parts of its only candidate."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    counts = {"promptTokenCount": 8, "candidatesTokenCount": said, "totalTokenCount": 8 + said}
    return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": MODEL, "responseId": "r1", **more}


def event(data: object) -> bytes:
    """Return one event."""
    return b"data: %b\r\n\r\n" % json.dumps(data).encode()


HI: Final = event(response({"text": "Hi"}, said=1))
YOU: Final = event(response({"text": " you"}, said=2))
STOP: Final = event(response({"text": ""}, finish="STOP", said=3))
WHOLE: Final = HI + YOU + STOP
THOUGHTS: Final = event(response({"text": "Hm", "thought": True})) + WHOLE
CALLS: Final = event(
    response(
        {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "CpQC"},
        {"functionCall": {"name": "clock", "args": {}}},
        finish="STOP",
    )
)
BLOCKED: Final = event({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 8}})
ERROR: Final = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
OVERLOADED: Final = event(ERROR)
ELEMENTS: Final = tuple(
    json.dumps(each, indent=2).encode()
    for each in (response({"text": "Hi [{"}, said=1), response({"text": "\u20ac"}, said=2), response(finish="STOP", said=3))
)
WHOLE_ARRAY: Final = b"[" + b"\n,\r\n".join(ELEMENTS) + b"\n]\n"


def refused(status: int, word: str, *, reason: str = "", delay: str = "") -> Reply:
    """Return an error answer, perhaps with a reason or a delay among its details."""
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    details += [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}] if delay else []
    told = {"error": {"code": status, "message": "m", "status": word, **({"details": details} if details else {})}}
    return replace(answer(told, status), reason=word)


def google(
    *urls: str, streaming: Mapping[str, str] | None = None, models: Iterable[Mapping[str, Any]] = (), **changes: Any
) -> Settings:
    """Return settings with upstreams of Google's kind at *urls*, and `gemini-*` served by them in order.

    A keepalive is due every 40 ms; every other clock is far away unless *streaming* moves it near. *models* come first.
    """
    names = [chr(ord("a") + index) for index in range(len(urls))]
    kinds = {
        name: {"kind": "gemini", "base_url": url, "api_key": f"AIza-upstream-{name}"}
        for name, url in zip(names, urls, strict=True)
    }
    served = [*models, {"name": "gemini-*", "targets": [{"upstream": name} for name in names]}]
    changes["upstreams"] = merged(kinds, changes.get("upstreams", {}))
    return settings(*urls, streaming={**CLOCKS, **(streaming or {})}, models=served, **changes)


def contents(**more: Any) -> bytes:
    """Return the body of a request."""
    return json.dumps({"contents": [{"role": "user", "parts": [{"text": "hi"}]}], **more}).encode()


async def ask_google(
    client: RawClient, path: str = STREAM, body: bytes = b"", *, headers: list[tuple[str, str]] | None = None
) -> Response:
    """Send one request (default: for a stream of events) and return its answer, whose head is in."""
    return await client.request("POST", path, GOOG if headers is None else headers, body or contents())
