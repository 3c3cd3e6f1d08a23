"""Endpoints whose answers the proxy passes on without understanding them: embeddings, images, audio, named upstreams."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects.base import CONTENT, NOTHING, Observer, RequestView
from proxy.dialects.body import flag_field, read_object, text_field
from proxy.dialects.multipart import read_form
from proxy.dialects.openai import OpenAiDialect
from proxy.sse.events import parse


class PlainObserver(Observer):
    """Knows no terminal event: a stream is complete when its framing ended as announced."""

    __slots__ = ()

    def event(self, block: bytes) -> int:
        return NOTHING if parse(block) is None else CONTENT

    def complete(self, *, clean: bool) -> bool:
        return clean


class Plain(OpenAiDialect):
    """An endpoint of the OpenAI family that is passed on by its path, with the model read from JSON or a form."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read_request(self, body: bytes, params: Mapping[str, str]) -> RequestView:
        content_type = params.get("content-type", "")
        if content_type.lower().startswith("multipart/"):
            model, stream, place = read_form(body, content_type)
            return RequestView(model=model, stream=stream, place=place)
        members = read_object(body)
        return RequestView(model=text_field(members, "model"), stream=flag_field(members, "stream"), place=members)

    def observer(self, view: RequestView) -> Observer:
        return PlainObserver()
