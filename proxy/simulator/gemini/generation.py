"""Writes one answer as `GenerateContentResponse` objects: one for all of it, or one for each piece."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from proxy.simulator.dialect import Part
from proxy.simulator.gemini.request import Ask
from proxy.simulator.reply import Reply, Shape, ToolCall, billed, compose

_EMPTY: Final = {"text": ""}


@dataclass(frozen=True, slots=True)
class Piece:
    """Some parts of a candidate, and the tokens that were spent up to their end."""

    parts: list[dict[str, Any]]
    said: int
    thought: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer of one or several candidates."""

    model: str
    ask: Ask
    seed: int

    def replies(self, shape: Shape) -> list[Reply]:
        """Return what the model says, once for each candidate."""
        return [compose(self.ask.prompt, shape, seed=self.seed, index=index) for index in range(self.ask.candidates)]

    def whole(self, replies: Sequence[Reply]) -> dict[str, Any]:
        """Return *replies* in one object."""
        said, thought = sum(map(_said, replies)), sum(len(reply.reasoning) for reply in replies)
        candidates = [_candidate(index, self._all_parts(reply), _finish(reply)) for index, reply in enumerate(replies)]
        return self._response(replies, candidates, self._usage(said, thought))

    def chunks(self, replies: Sequence[Reply]) -> Iterator[tuple[dict[str, Any], Part]]:
        """Return *replies* piece by piece, in turn over the candidates, and then why each of them ended."""
        spent = [(0, 0)] * len(replies)
        for row in zip_longest(*(self._pieces(reply) for reply in replies)):
            for index, piece in enumerate(row):
                if piece is not None:
                    spent[index] = (piece.said, piece.thought)
                    yield self._chunk(replies, _candidate(index, piece.parts), spent), Part.TOKEN
        spent = [(_said(reply), len(reply.reasoning)) for reply in replies]
        for index, reply in enumerate(replies):
            yield self._chunk(replies, _candidate(index, [_EMPTY], _finish(reply)), spent), Part.END

    def _pieces(self, reply: Reply) -> Iterator[Piece]:
        thought = 0 if self.ask.shows_thoughts else len(reply.reasoning)
        for token in reply.reasoning if self.ask.shows_thoughts else ():
            thought += 1
            yield Piece([_thought(token)], 0, thought)
        said = 0
        for token in reply.text:
            said += billed(token)
            yield Piece([{"text": token}], said, thought)
        if reply.calls:
            yield Piece(_calls(reply), _said(reply), thought)

    def _all_parts(self, reply: Reply) -> list[dict[str, Any]]:
        parts = [_thought("".join(reply.reasoning))] if reply.reasoning and self.ask.shows_thoughts else []
        if reply.text:
            parts.append({"text": "".join(reply.text)})
        return [*parts, *_calls(reply)]

    def _chunk(self, replies: Sequence[Reply], candidate: dict[str, Any], spent: Sequence[tuple[int, int]]) -> dict[str, Any]:
        usage = self._usage(sum(said for said, _ in spent), sum(thought for _, thought in spent))
        return self._response(replies, [candidate], usage)

    def _response(self, replies: Sequence[Reply], candidates: list[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
        return {
            "candidates": candidates,
            "usageMetadata": usage,
            "modelVersion": self.model,
            "responseId": replies[0].id,
        }

    def _usage(self, said: int, thought: int) -> dict[str, Any]:
        tokens_in = self.ask.prompt.tokens_in
        usage: dict[str, Any] = {
            "promptTokenCount": tokens_in,
            "candidatesTokenCount": said,
            "totalTokenCount": tokens_in + said + thought,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens_in}],
        }
        if thought:
            usage["thoughtsTokenCount"] = thought
        if self.ask.cached:
            usage["cachedContentTokenCount"] = self.ask.cached
        return usage


def _candidate(index: int, parts: list[dict[str, Any]], finish: str | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    candidate: dict[str, Any] = {"content": content, "index": index}
    return candidate if finish is None else candidate | {"finishReason": finish}


def _thought(said: str) -> dict[str, Any]:
    return {"text": said, "thought": True}


def _calls(reply: Reply) -> list[dict[str, Any]]:
    """Return the calls of *reply*, whole; the first is signed where thoughts led to it."""
    parts = [_call(call) for call in reply.calls]
    if parts and reply.reasoning:
        parts[0]["thoughtSignature"] = base64.b64encode(reply.id.encode()).decode()
    return parts


def _call(call: ToolCall) -> dict[str, Any]:
    return {"functionCall": {"id": call.id, "name": call.name, "args": call.values}}


def _said(reply: Reply) -> int:
    return reply.tokens - len(reply.reasoning)


def _finish(reply: Reply) -> str:
    return "MAX_TOKENS" if reply.cut else "STOP"
