"""Turns the answers of Gemini into OpenAI chat: streams, whole answers, errors.

    text                  content; of a thought, reasoning_content
    functionCall          tool_calls, whole; its signature rides where Google's own OpenAI endpoint puts it
    inlineData            images, as others who speak OpenAI's API tell them
    finishReason          finish_reason: a call ends with STOP like any answer
    usageMetadata         usage, if the client asked for it; every chunk tells it again, the last one counts
    the end of the body   [DONE], if there was a finish reason
    error                 an error event, and nothing behind it

For editors: the API has no last event, and an error may stand bare, without `data:`.
"""

from __future__ import annotations

from typing import Any, Final

from proxy.dialects.gemini_stream import told_error
from proxy.dialects.openai import read_json
from proxy.dialects.usage import read_gemini_usage
from proxy.errors import UpstreamMalformed
from proxy.exchange import Usage
from proxy.sse.events import Splitter, parse
from proxy.translate.base import Back, EventTranslator
from proxy.translate.chat_chunks import Facts, answer, write_call, write_message
from proxy.translate.chat_errors import error_answer
from proxy.translate.chat_stream import MALFORMED, ChatStream

Told = dict[str, Any]  # a JSON object of the upstream's

EVENT_CAP: Final = 24 * 1024**2  # bytes; images come in one piece

_REASONS: Final = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
# No answer that could be taken for a finished one.
_BROKEN: Final = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE"}
    | {"MALFORMED_RESPONSE", "NO_IMAGE", "IMAGE_OTHER"}
)


class GeminiToChat(Back):
    """The way back of one request."""

    __slots__ = ("_facts",)

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def events(self) -> EventTranslator:
        return GeminiEvents(self._facts)

    def whole(self, body: bytes) -> bytes:
        told = read_json(body) or {}
        candidate = _candidate(told)
        reason = "SAFETY" if _blocked(told) else str(candidate.get("finishReason"))
        if not _blocked(told) and (not candidate or reason in _BROKEN):
            raise UpstreamMalformed(f"the answer is no response, or finished as {reason[:40]}")
        message = _message(self._facts, _parts(candidate))
        return answer(
            self._facts,
            message,
            model=_model(told) or self._facts.model,
            reason=_finish(reason, calls=len(message.get("tool_calls", ()))),
            usage=read_gemini_usage(told.get("usageMetadata")),
        )

    def error(self, status: int, body: bytes) -> tuple[int, bytes]:
        return error_answer(status, body)


class GeminiEvents(EventTranslator):
    """One stream."""

    __slots__ = ("_counts", "_facts", "_images", "_splitter", "_stream")

    def __init__(self, facts: Facts) -> None:
        self._counts: Any = None  # what the last chunk that counted told
        super().__init__()
        self._facts = facts
        self._images = 0
        self._stream = ChatStream(facts)
        self._splitter = Splitter(EVENT_CAP)

    @property
    def usage(self) -> Usage | None:
        """What the last count told, which counts everything up to there; it is read when somebody asks."""
        return read_gemini_usage(self._counts)

    @usage.setter
    def usage(self, usage: Usage | None) -> None:
        self._counts = usage

    def feed(self, data: bytes) -> bytes:
        if not self._splitter.held:
            line = _only_line(data)
            if line:
                return self._event(line)
        out = b"".join([self._block(block) for block in self._splitter.feed(data)])
        return out + self._stream.fail(502, MALFORMED) if self._splitter.lost else out

    def end(self, *, clean: bool) -> bytes:
        stream, rest = self._stream, self._splitter.held
        failed = self._failed(told_error(rest))
        if failed or rest.strip() or not clean or not stream.finished:
            return failed
        return stream.tell_usage(self.usage) + stream.end()

    @property
    def unfinished(self) -> bool:
        return not self._stream.over  # half an event may follow the reason to stop

    def _block(self, block: bytes) -> bytes:
        event = parse(block)
        return self._failed(told_error(block)) if event is None else self._event(event.data)

    def _event(self, data: bytes) -> bytes:
        if self._stream.over:
            return b""
        told = read_json(data)
        if told is None:  # an object that is broken may have held a token
            return self._stream.fail(502, MALFORMED) if data.startswith(b"{") else self._failed(told_error(data))
        if told.get("error"):
            return self._failed(told["error"])
        self._counts = told.get("usageMetadata") or self._counts
        return self._response(told)

    def _response(self, told: Told) -> bytes:
        candidate = _candidate(told)
        first = self._stream.begin(_model(told)) if candidate or _blocked(told) else b""
        out = first + b"".join([self._part(part) for part in _parts(candidate)])
        reason = str(candidate.get("finishReason") or ("SAFETY" if _blocked(told) else ""))
        if not reason:
            return out
        if reason in _BROKEN:
            return out + self._stream.fail(502, MALFORMED)
        return out + self._stream.finish(_finish(reason, calls=self._stream.calls))

    def _part(self, part: Told) -> bytes:
        stream = self._stream
        call = part.get("functionCall")
        if isinstance(call, dict):
            number = stream.calls
            begun = stream.call(_call_id(self._facts, call, number), call.get("name"), call.get("args"), **_signed(part))
            return begun if stream.over else begun + stream.close_call(number)
        image = _image(part, self._images)
        if image is not None:
            self._images += 1
            return stream.delta({"images": [image]})
        return stream.think_text(part.get("text")) if part.get("thought") else stream.write_text(part.get("text"))

    def _failed(self, error: Any) -> bytes:
        if error is None:
            return b""
        told = error if isinstance(error, dict) else {"message": error}
        code = told.get("code")
        return self._stream.fail(code if type(code) is int and 400 <= code < 600 else 500, told.get("message"))


def _only_line(data: bytes) -> bytes:
    """Return the data of one whole event that is one line, as Google writes nearly all; nothing for any other bytes."""
    end = len(data) - 4
    if data.startswith(b"data: {") and data.find(b"\r") == end and data.find(b"\n") == end + 1 and data.endswith(b"\r\n\r\n"):
        return data[6:end]
    return b""


def _message(facts: Facts, parts: list[Told]) -> Told:
    """Return what the model said, as OpenAI's message."""
    called = [part for part in parts if isinstance(part.get("functionCall"), dict)]
    images = [image for part in parts if (image := _image(part, 0)) is not None]
    message = write_message(
        facts,
        words=[part.get("text") for part in parts if not part.get("thought")],
        thoughts=[part.get("text") for part in parts if part.get("thought")],
        signed=[],
        calls=[_call(facts, part, number) for number, part in enumerate(called)],
    )
    return {**message, "images": images} if images else message


def _call(facts: Facts, part: Told, number: int) -> Told:
    call = part["functionCall"]
    return write_call(facts, _call_id(facts, call, number), call.get("name"), call.get("args"), **_signed(part))


def _call_id(facts: Facts, call: Told, number: int) -> Any:
    """Return a call's id; Gemini need not give it one, and clients need one that no other call has."""
    return call.get("id") or facts.call_id(number)


def _signed(part: Told) -> Told:
    signature = part.get("thoughtSignature")
    return {"extra_content": {"google": {"thought_signature": signature}}} if isinstance(signature, str) else {}


def _image(part: Told, number: int) -> Told | None:
    data = part.get("inlineData")
    if not isinstance(data, dict) or not isinstance(data.get("data"), str):
        return None
    url = f"data:{data.get('mimeType')};base64,{data['data']}"
    return {"index": number, "type": "image_url", "image_url": {"url": url}}


def _finish(reason: str, *, calls: int) -> str:
    told = _REASONS.get(reason, "stop")
    return "tool_calls" if calls and told == "stop" else told


def _candidate(told: Told) -> Told:
    """Return the only candidate that was asked for."""
    candidates = told.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    return first if isinstance(first, dict) else {}


def _parts(candidate: Told) -> list[Told]:
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _blocked(told: Told) -> bool:
    feedback = told.get("promptFeedback")
    return isinstance(feedback, dict) and bool(feedback.get("blockReason"))


def _model(told: Told) -> str:
    model = told.get("modelVersion")
    return model if isinstance(model, str) else ""
