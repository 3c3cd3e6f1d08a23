"""Bedrock's runtime as a scripted upstream plays it: genuine frames with both checksums, call-time errors, and AWS's own check of a signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from proxy.dialects.eventstream import encode
from proxy.settings import Settings
from tests.support.client import RawClient, Response
from tests.support.house import BEARER, FAR, settings
from tests.support.steps import Reply, RequestSeen, Step

MODEL: Final = "anthropic.claude-sonnet-4-5-20250929-v1:0"
SEGMENT: Final = "anthropic.claude-sonnet-4-5-20250929-v1%3A0"
RENAMED: Final = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"  # how `claude` is called there
EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
REQUEST_ID: Final = "b0c7e1f2-9a35-4c0e-8f3e-5c1d2e3f4a5b"
CONVERSE: Final = f"/model/{SEGMENT}/converse"
CONVERSE_STREAM: Final = f"/model/{SEGMENT}/converse-stream"
INVOKE: Final = f"/model/{SEGMENT}/invoke"
INVOKE_STREAM: Final = f"/model/{SEGMENT}/invoke-with-response-stream"
ASK: Final = b'{"messages":[{"role":"user","content":[{"text":"hi"}]}]}'


def event(name: str, payload: object) -> bytes:
    """Return an event's frame; its headers stand in the order in which Bedrock has them."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return encode(headers, json.dumps(payload, separators=(",", ":")).encode())


def exception(name: str, message: str = "wait", **more: Any) -> bytes:
    """Return the frame of an exception in a stream; its *name* begins with a small letter."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return encode(headers, json.dumps({"message": message, **more}).encode())


def error_frame(code: str, message: str = "broken") -> bytes:
    """Return the frame of an error that the service model does not know."""
    return encode({":message-type": "error", ":error-code": code, ":error-message": message}, b"")


def delta(text: str, index: int = 0) -> bytes:
    """Return a piece of a text, with padding as Bedrock has it."""
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": text}, "p": "abcdefghijk"})


def native(payload: object) -> bytes:
    """Return a model's own event in its frame."""
    return event("chunk", {"bytes": base64.b64encode(json.dumps(payload).encode()).decode(), "p": "abcdef"})


def damaged(frame: bytes, at: int = -1) -> bytes:
    """Return *frame* with one bit turned over, by default in its last byte, which is of its checksum."""
    changed = bytearray(frame)
    changed[at] ^= 1
    return bytes(changed)


USAGE: Final = {"inputTokens": 20, "outputTokens": 5, "totalTokens": 33, "cacheReadInputTokens": 6, "cacheWriteInputTokens": 2}
START: Final = event("messageStart", {"role": "assistant", "p": "abc"})
HI: Final = delta("Hi")
BLOCK_STOP: Final = event("contentBlockStop", {"contentBlockIndex": 0, "p": "ab"})
STOP: Final = event("messageStop", {"stopReason": "end_turn", "p": "abcdefgh"})
METADATA: Final = event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 300}, "p": "abc"})
FRAMES: Final = (START, HI, delta(" there"), BLOCK_STOP, STOP, METADATA)
WHOLE: Final = b"".join(FRAMES)
THROTTLED: Final = exception("throttlingException", "Too many requests, please wait before trying again.")

INVOCATION_METRICS: Final = {"inputTokenCount": 11, "outputTokenCount": 4, "invocationLatency": 9, "firstByteLatency": 3}
CLAUDE_USAGE: Final = {"input_tokens": 11, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 1}
CLAUDE: Final = (
    native({"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": [], "usage": CLAUDE_USAGE}}),
    native({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    native({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
    native({"type": "content_block_stop", "index": 0}),
    native({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}),
    native({"type": "message_stop", "amazon-bedrock-invocationMetrics": INVOCATION_METRICS}),
)
OTHER_MODEL: Final = (
    native({"generation": "Hi", "prompt_token_count": 11, "stop_reason": None}),
    native({"generation": "", "stop_reason": "stop", "amazon-bedrock-invocationMetrics": INVOCATION_METRICS}),
)
ANSWER: Final = {
    "metrics": {"latencyMs": 300},
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": USAGE,
}

# wire facts: the exceptions that a call can end with, and their statuses
CALL_ERRORS: Final = {
    "ThrottlingException": 429,
    "ModelNotReadyException": 429,
    "ServiceUnavailableException": 503,
    "InternalServerException": 500,
    "ModelTimeoutException": 408,
    "ModelErrorException": 424,
    "ModelStreamErrorException": 424,
    "ServiceQuotaExceededException": 400,
    "ValidationException": 400,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
}
STREAM_ERRORS: Final = (
    "internalServerException",
    "modelStreamErrorException",
    "validationException",
    "throttlingException",
    "serviceUnavailableException",
    "modelTimeoutException",
)


def frames(*steps: Step, headers: Iterable[tuple[str, str]] = ()) -> Reply:
    """Answer with a stream of frames."""
    return Reply(headers=[("Content-Type", EVENT_STREAM), ("x-amzn-RequestId", REQUEST_ID), *headers], body=steps)


def refused(name: str, status: int = 0, message: str = "no", headers: Iterable[tuple[str, str]] = ()) -> Reply:
    """Answer with an exception that ends the call."""
    body = json.dumps({"message": message}).encode()
    told = [("Content-Type", "application/json"), ("x-amzn-ErrorType", f"{name}:http://internal.amazon.com/coral/")]
    return Reply(status=status or CALL_ERRORS[name], headers=[*told, *headers], body=[body], framing="length")


def signed_with(request: RequestSeen, secret: str) -> bool:
    """Check a signature as AWS documents it: from the bytes that came, and without any code of its SDKs."""
    parts = dict(part.split("=", 1) for part in _authorization(request).removeprefix("AWS4-HMAC-SHA256 ").split(", "))
    _, *scope = parts["Credential"].split("/")
    date = request.header("x-amz-date") or ""
    assert date.startswith(scope[0])
    canonical = _canonical(request, parts["SignedHeaders"].split(";"))
    text = "\n".join(("AWS4-HMAC-SHA256", date, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()))
    key = ("AWS4" + secret).encode()
    for piece in (*scope, text):
        key = hmac.digest(key, piece.encode(), "sha256")
    return hmac.compare_digest(key.hex(), parts["Signature"])


def signer_of(request: RequestSeen) -> tuple[str, str, str]:
    """Return the access key, the region and the service that a signature names."""
    access, _, region, service, _ = _authorization(request).split("Credential=")[1].split(",")[0].split("/")
    return access, region, service


def _authorization(request: RequestSeen) -> str:
    return request.header("authorization") or ""


def _canonical(request: RequestSeen, signed: list[str]) -> str:
    path, _, query = request.target.decode().partition("?")
    pairs = sorted(part.partition("=")[::2] for part in query.split("&") if part)
    lines = [f"{name}:{' '.join((request.header(name) or '').split())}\n" for name in signed]
    assert "host" in signed
    assert all(name in signed for name, _ in _names(request) if name.startswith("x-amz-"))
    return "\n".join(
        (
            request.method,
            quote(path, safe="/-_.~"),  # of what is encoded once already: twice
            "&".join(f"{name}={value}" for name, value in pairs),
            "".join(lines),
            ";".join(signed),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _names(request: RequestSeen) -> list[tuple[str, bytes]]:
    return [(name.decode().lower(), value) for name, value in request.headers]


KEY_HEADERS: Final = [*BEARER, ("Content-Type", "application/json")]


def bedrock(*urls: str, streaming: dict[str, Any] | None = None, each: dict[str, Any] | None = None, **changes: Any) -> Settings:
    """Return settings under which Bedrock at *urls*, in order, serves Claude under its own name and an alias.

    *each* is what its upstreams have besides.
    """
    own = {
        "kind": "bedrock",
        "api_key": "bedrock-api-key-upstream",
        "region": "us-east-1",
        "connect_timeout": FAR,
        **(each or {}),
    }
    names = [chr(ord("a") + index) for index in range(len(urls))]
    return settings(
        streaming=streaming or {},
        upstreams={name: {**own, "endpoint_url": url} for name, url in zip(names, urls, strict=True)},
        models=[
            {"name": "anthropic.*", "targets": [{"upstream": name} for name in names]},
            {"name": "claude", "targets": [{"upstream": name, "model": RENAMED} for name in names]},
        ],
        **changes,
    )


async def ask_bedrock(client: RawClient, path: str = CONVERSE_STREAM, body: bytes = ASK) -> Response:
    """Ask and return the response when its head is in."""
    return await client.request("POST", path, KEY_HEADERS, body)
