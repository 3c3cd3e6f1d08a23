"""Legacy completions: reads the request, and writes the answer as chunks or as one object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

import orjson

from proxy.errors import BadRequest
from proxy.simulator import fields, text
from proxy.simulator.dialect import Answer, Call, Event, Failure, Part, Whole
from proxy.simulator.fields import Fields
from proxy.simulator.openai import common
from proxy.simulator.reply import Prompt, Reply, Shape, compose

_MAX_CHOICES: Final = 128


def read_completion(call: Call) -> Answer:
    """Read `POST /v1/completions`."""
    body = fields.read_object(call.body)
    model = fields.required_text(body, "model")
    usage = common.asks_for_usage(body, fields.table(body, "stream_options"))
    copies = fields.count(body, "n", most=_MAX_CHOICES) or 1
    limit = fields.count(body, "max_tokens")
    prompts = tuple(Prompt(last=said, question=said, tokens_in=text.estimate(said), limit=limit) for said in _said(body))
    if len(prompts) * copies > _MAX_CHOICES:
        raise BadRequest(f"At most {_MAX_CHOICES} choices fit in one request.", param="prompt")
    completion = Completion(model=model, prompts=prompts, copies=copies, usage=usage, born=call.born, seed=call.seed)
    return Answer(model, completion.whole, completion if fields.flag(body, "stream") else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One completion of one or several prompts, to be told as a stream or whole."""

    model: str
    prompts: tuple[Prompt, ...]
    copies: int
    usage: bool
    born: int
    seed: int
    content_type: str = common.EVENT_STREAM
    idle: bytes = common.PROCESSING

    def events(self, shape: Shape) -> Iterator[Event]:
        """Return the texts in turn over the choices, finish reasons, usage if asked for, and `[DONE]`."""
        replies = self._replies(shape)
        name = replies[0].id
        for row in zip_longest(*(reply.text for reply in replies)):
            for index, piece in enumerate(row):
                if piece is not None:
                    yield self._event(name, [_choice(index, piece, None)], Part.TOKEN)
        for index, reply in enumerate(replies):
            yield self._event(name, [_choice(index, "", _finish(reply))], Part.END)
        if self.usage:
            yield self._event(name, [], Part.END, self._usage(replies))
        yield Event(common.DONE, Part.END)

    def whole(self, shape: Shape) -> Whole:
        """Return the answer as one `text_completion` object."""
        replies = self._replies(shape)
        choices = [_choice(index, "".join(reply.text), _finish(reply)) for index, reply in enumerate(replies)]
        body = self._object(replies[0].id, choices) | {"usage": self._usage(replies)}
        return Whole(orjson.dumps(body), tokens=max(reply.pieces for reply in replies))

    def error_event(self, failure: Failure, sent: int) -> bytes:
        """Return the error as an event; this dialect has no number to put on it."""
        return common.data_frame({"error": common.error_object(failure)})

    def _replies(self, shape: Shape) -> list[Reply]:
        return [compose(prompt, shape, seed=self.seed, index=index) for prompt in self.prompts for index in range(self.copies)]

    def _usage(self, replies: list[Reply]) -> dict[str, Any]:
        return common.chat_usage(sum(prompt.tokens_in for prompt in self.prompts), replies)

    def _event(self, name: str, choices: list[dict[str, Any]], part: Part, usage: dict[str, Any] | None = None) -> Event:
        body = self._object(name, choices)
        return Event(common.data_frame(body | {"usage": usage} if self.usage else body), part)

    def _object(self, name: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": f"cmpl-{name}", "object": "text_completion", "created": self.born, "model": self.model, "choices": choices}


def _said(body: Fields) -> list[str]:
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, list) and prompt and all(isinstance(one, str) for one in prompt):
        return prompt
    if isinstance(prompt, list) and prompt:
        return ["these tokens"]  # given as numbers, which the simulated model cannot read
    raise BadRequest("`prompt` is required: a string, or an array of strings or tokens.", param="prompt")


def _choice(index: int, piece: str, finish: str | None) -> dict[str, Any]:
    return {"text": piece, "index": index, "logprobs": None, "finish_reason": finish}


def _finish(reply: Reply) -> str:
    return "length" if reply.cut else "stop"
