"""Gemini's streams as its servers write them, byte for byte but for shortened ids, and what an observer must make of each."""

from __future__ import annotations

from typing import Final

from proxy.dialects.base import CONTENT, FAILED, NOTHING
from proxy.exchange import Usage
from tests.unit.dialects.recordings import Recording


def response(candidates: str, usage: str = "", rest: str = "") -> str:
    """Return one response around its candidates, with the spaces that Google writes."""
    counts = f',"usageMetadata": {{{usage}}}' if usage else ""
    return f'{{"candidates": [{candidates}]{counts}{rest},"modelVersion": "gemini-2.5-flash","responseId": "r1A2b3C4d5E6f7G8"}}'


def candidate(parts: str, finish: str = "", index: int = 0) -> str:
    reason = f'"finishReason": "{finish}",' if finish else ""
    return f'{{"content": {{"parts": [{parts}],"role": "model"}},{reason}"index": {index}}}'


def counts(prompt: int, answer: int | None = None, thoughts: int | None = None) -> str:
    told = [f'"promptTokenCount": {prompt}']
    told += [f'"candidatesTokenCount": {answer}'] if answer is not None else []
    told += [f'"totalTokenCount": {prompt + (answer or 0) + (thoughts or 0)}']
    told += [f'"promptTokensDetails": [{{"modality": "TEXT","tokenCount": {prompt}}}]']
    told += [f'"thoughtsTokenCount": {thoughts}'] if thoughts is not None else []
    return ",".join(told)


def event(data: str) -> bytes:
    return f"data: {data}\r\n\r\n".encode()


def text(said: str, answer: int, *, finish: str = "", prompt: int = 8) -> bytes:
    """Return one event with a piece of text and the tokens counted so far."""
    return event(response(candidate(f'{{"text": "{said}"}}', finish), counts(prompt, answer)))


UNAVAILABLE: Final = b'data: {"error": {"code": 503,"message": "The model is overloaded. Please try again later.","status": "UNAVAILABLE"}}\r\n\r\n'
RESPONSES: Final = (
    response(candidate('{"text": "Hel\\u003cb\\u003e [\\"{"}'), counts(8, 1)),
    response(candidate('{"text": "lo"}'), counts(8, 2)),
    response(candidate('{"text": "."}', "STOP"), counts(8, 3)),
)

GEMINI: Final = (
    Recording(
        "text",
        (
            (text("Hel", 1), CONTENT),
            (text("lo", 2), CONTENT),
            (text(", you", 14), CONTENT),
            (text(".", 15, finish="STOP"), CONTENT),
        ),
        Usage(8, 15),
    ),
    Recording(
        "text, finished in a chunk without any",
        ((text("Hi", 1), CONTENT), (text("", 2, finish="STOP"), NOTHING)),
        Usage(8, 2),
    ),
    Recording(
        "thoughts, then text",
        (
            (event(response(candidate('{"text": "**Greet**\\n\\nHm.","thought": true}'), counts(4, None, 21))), CONTENT),
            (event(response(candidate('{"text": "Well.","thought": true}'), counts(4, None, 47))), CONTENT),
            (event(response(candidate('{"text": "Hi"}'), counts(4, 1, 47))), CONTENT),
            (event(response(candidate('{"text": "!"}'), counts(4, 2, 47))), CONTENT),
            (event(response(candidate('{"text": "","thoughtSignature": "CpQC"}', "STOP"), counts(4, 2, 47))), NOTHING),
        ),
        Usage(4, 49, reasoning=47),
    ),
    Recording(
        "a function call, whole",
        (
            (
                event(
                    response(
                        candidate(
                            '{"functionCall": {"name": "get_weather","args": {"city": "Oslo"}},"thoughtSignature": "CpQC"},'
                            '{"functionCall": {"name": "get_time","args": {}}}',
                            "STOP",
                        ),
                        counts(40, 12),
                    )
                ),
                CONTENT,
            ),
        ),
        Usage(40, 12),
    ),
    Recording(
        "an image, and what was read from a cache or by a tool",
        (
            (event(response(candidate('{"inlineData": {"mimeType": "image/png","data": "iVBORw0KGgo="}}'))), CONTENT),
            (
                event(
                    response(
                        candidate("", "STOP"),
                        '"promptTokenCount": 100,"candidatesTokenCount": 5,"totalTokenCount": 112,'
                        '"cachedContentTokenCount": 64,"toolUsePromptTokenCount": 7',
                    )
                ),
                NOTHING,
            ),
        ),
        Usage(107, 5, cached=64),
    ),
    Recording(
        "a blocked prompt",
        (
            (
                event(
                    '{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},'
                    '"usageMetadata": {"promptTokenCount": 9,"totalTokenCount": 9},"modelVersion": "gemini-2.5-flash"}'
                ),
                NOTHING,
            ),
        ),
        Usage(9),
    ),
    Recording(
        "stopped for safety, without a last text",
        (
            (text("How", 1), CONTENT),
            (
                event(response('{"finishReason": "SAFETY","index": 0,"safetyRatings": [{"category": "HARM","blocked": true}]}')),
                NOTHING,
            ),
        ),
        Usage(8, 1),
    ),
    Recording(
        "two candidates in turn",
        (
            (event(response(candidate('{"text": "A"}'))), CONTENT),
            (event(response(candidate('{"text": "B"}', index=1))), CONTENT),
            (event(response(candidate('{"text": "a"}', "STOP"))), CONTENT),
            (event(response(candidate('{"text": "b"}', "MAX_TOKENS", index=1))), CONTENT),
        ),
        choices=2,
    ),
    Recording(
        "finished in every chunk, as old versions do",
        ((text("Hi", 1, finish="STOP"), CONTENT), (text("!", 2, finish="STOP"), CONTENT)),
        Usage(8, 2),
    ),
    Recording("an error first", ((UNAVAILABLE, FAILED),), error="UNAVAILABLE", terminal=False),
    Recording(
        "an error late", ((text("Hi", 1), CONTENT), (UNAVAILABLE, FAILED)), Usage(8, 1), error="UNAVAILABLE", terminal=False
    ),
    Recording(
        "an error without its event",
        (
            (text("Hi", 1), CONTENT),
            (
                b'[{\r\n  "error": {\r\n    "code": 500,\r\n    "message": "m",\r\n    "status": "INTERNAL"\r\n  }\r\n}]\r\n\r\n',
                FAILED,
            ),
        ),
        Usage(8, 1),
        error="INTERNAL",
        terminal=False,
    ),
    Recording("truncated", ((text("Hi", 1), CONTENT), (text(" you", 2), CONTENT)), Usage(8, 2), terminal=False),
)


def with_lf(recording: Recording) -> Recording:
    """Return the same stream as translators and gateways write it, with LF."""
    events = tuple((block.replace(b"\r\n", b"\n"), flags) for block, flags in recording.events)
    return Recording(f"{recording.name}, LF", events, recording.usage, recording.error, recording.terminal, recording.choices)
