"""Azure in front of the OpenAI dialect: deployments in the path, content filters around each answer, errors of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from proxy.errors import NotFound
from proxy.simulator import fields
from proxy.simulator.dialect import Answer, Call, Dialect, Event, Failure, Part, Refusal, Stream, Whole, retry_after
from proxy.simulator.openai import common
from proxy.simulator.openai.chat import read_chat
from proxy.simulator.openai.completions import read_completion
from proxy.simulator.openai.vectors import read_embeddings
from proxy.simulator.reply import Shape

_SAFE: Final = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}
_PROMPT: Final = [{"prompt_index": 0, "content_filter_results": {**_SAFE, "jailbreak": {"filtered": False, "detected": False}}}]
_FIRST_CHUNK: Final = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": _PROMPT}
_FROM_MODEL: Final = 400  # the one status whose error comes from behind Azure's own gateway


def read_deployed_chat(call: Call) -> Answer:
    """Read `POST /openai/deployments/{deployment}/chat/completions`."""
    return _filtered(read_chat(_deployed(call)))


def read_deployed_completion(call: Call) -> Answer:
    """Read `POST /openai/deployments/{deployment}/completions`."""
    return _filtered(read_completion(_deployed(call)))


def read_deployed_embeddings(call: Call) -> Answer:
    """Read `POST /openai/deployments/{deployment}/embeddings`."""
    return read_embeddings(_deployed(call))


def headers(name: str, _: int) -> dict[str, str]:
    """Return the headers of one answer."""
    return {
        "apim-request-id": name,
        "x-request-id": name,
        "x-ms-region": "Simulated",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "1999000",
    }


def refuse(failure: Failure, name: str) -> Refusal:
    """Return an error answer: OpenAI's where the model refused the request, else that of Azure's gateway."""
    if failure.status == _FROM_MODEL:
        return common.refuse(failure, name)
    wait = retry_after(failure)
    if failure.retry_after is not None:
        wait["retry-after-ms"] = f"{failure.retry_after * 1000:.0f}"
    return Refusal(orjson.dumps({"error": {"code": str(failure.status), "message": failure.message}}), wait)


@dataclass(frozen=True, slots=True)
class Filtered:
    """A stream with what the content filters found in the prompt and in each choice."""

    stream: Stream

    @property
    def content_type(self) -> str:
        """The media type of the stream."""
        return self.stream.content_type

    @property
    def idle(self) -> bytes:
        """What is sent while there is nothing to say: Azure stays silent."""
        return b""

    def events(self, shape: Shape) -> Iterator[Event]:
        """Return a chunk about the prompt, which has neither a choice nor an id, and then the answer's own."""
        yield Event(common.data_frame(_FIRST_CHUNK), Part.FRAME)
        for event in self.stream.events(shape):
            yield event if event.bytes == common.DONE else Event(_annotated(event.bytes), event.part)

    def error_event(self, failure: Failure, sent: int) -> bytes:
        """Return the error as an event."""
        return self.stream.error_event(failure, sent)


def _deployed(call: Call) -> Call:
    """Return *call* with its deployment for its model, whatever model the body names."""
    if "api-version" not in call.query:
        raise NotFound(public="Resource not found: the query needs an `api-version`.")
    body = {**fields.read_object(call.body), "model": call.parameters["deployment"]}
    return replace(call, body=orjson.dumps(body))


def _filtered(answer: Answer) -> Answer:
    def whole(shape: Shape) -> Whole:
        plain = answer.whole(shape)
        body = orjson.loads(plain.body)
        filtered = {**body, "choices": [_checked(choice) for choice in body["choices"]], "prompt_filter_results": _PROMPT}
        return replace(plain, body=orjson.dumps(filtered))

    return Answer(answer.model, whole, None if answer.stream is None else Filtered(answer.stream))


def _annotated(frame: bytes) -> bytes:
    chunk = orjson.loads(frame.removeprefix(b"data: "))
    return common.data_frame({**chunk, "choices": [_checked(choice) for choice in chunk["choices"]]})


def _checked(choice: dict[str, Any]) -> dict[str, Any]:
    """Return *choice* with a verdict on its words, an empty one where it has none."""
    said = choice.get("text") or choice.get("message") or choice.get("delta", {}).get("content")
    return {**choice, "content_filter_results": _SAFE if said else {}}


DIALECT: Final = Dialect(refuse=refuse, headers=headers)
