"""Endpoints whose answers the proxy passes on without understanding them: embeddings, images, audio, named upstreams."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects.base import CONTENT, NOTHING, Observer, RequestView
from proxy.dialects.body import flag_field, read_object
from proxy.dialects.multipart import read_form, read_form_for
from proxy.dialects.openai import OpenAiDialect, asked_model
from proxy.dialects.path import path_model
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

    reads_head = True

    def __init__(self, name: str) -> None:
        self.name = name

    def read_request(self, body: bytes, params: Mapping[str, str]) -> RequestView:
        content_type = params.get("content-type", "")
        if content_type.lower().startswith("multipart/"):
            return _of_form(body, content_type, params)
        members = read_object(body)
        return RequestView(model=asked_model(members, params), stream=flag_field(members, "stream"), place=members)

    def observer(self, view: RequestView) -> Observer:
        return PlainObserver()


def _of_form(body: bytes, content_type: str, params: Mapping[str, str]) -> RequestView:
    if "deployment" not in params:
        model, stream, place = read_form(body, content_type)
        return RequestView(model=model, stream=stream, place=place)
    streamed, any_place = read_form_for(body, content_type)
    return RequestView(model=path_model(params["deployment"]), stream=streamed, place=any_place)
