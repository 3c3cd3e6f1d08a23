"""Puts one request to one target: in the client's own API where the target speaks it, else translated, with the way back."""

from __future__ import annotations

import time
from typing import Final

from proxy.handler.call import Call
from proxy.handler.pricing import cost_usd
from proxy.headers import Header
from proxy.providers import Asked, take_version
from proxy.router import Route, Target
from proxy.translate import Back, Source, Translated, Translators
from proxy.translate.asked_usage import AskedUsage, with_usage_asked
from proxy.upstream import Backend, Outgoing

# Of a client's headers, those that mean the same in any API; the rest are words of its own.
_UNIVERSAL: Final = frozenset({b"user-agent", b"traceparent", b"tracestate", b"baggage", b"idempotency-key", b"x-test-scenario"})
_ASKED_FOR_USAGE: Final = ("chat", "completions")
_JSON: Final = ((b"Content-Type", b"application/json"),)


Question = tuple[Outgoing, Back | None]  # a request as one target gets it; the second translates its answers, if need be


def question(call: Call, backend: Backend, target: Target) -> Question:
    """Return the request for *target*. Raises Untranslatable, or BadRequest, where it cannot be put to it."""
    if call.route is None:
        return _passed_on(call), None
    if call.match.api in backend.provider.apis:
        return _native(call, call.route, backend, target.model)
    return _translated(call, call.route, backend, target.model)


def _native(call: Call, route: Route, backend: Backend, model: str) -> Question:
    api, view, body = call.match.api, call.view, call.body
    if view.place is not None and view.place.model != model and backend.provider.reads_model(api):
        body = view.place.with_model(model)
    place = _target(call, backend, model)
    out = Outgoing(call.method, place, call.headers, call.exchange.request_id, body, None, None, call.heads)
    if route.ask_usage and view.stream and api in _ASKED_FOR_USAGE:
        asking = with_usage_asked(body, view.values)
        if asking is not None:
            out.body = asking
            return out, AskedUsage()
    return out, None


def _target(call: Call, backend: Backend, model: str) -> bytes:
    match, stream = call.match, call.view.stream
    if not match.canonical:
        return backend.provider.target(Asked(match.api, call.path, call.query, model, stream))
    query, version = take_version(call.query)
    return backend.provider.target(Asked(match.api, match.canonical, query, model, stream, version))


def _translated(call: Call, route: Route, backend: Backend, model: str) -> Question:
    pair = call.runtime.translators.find(call.match.api, backend.provider.apis)
    assert pair is not None  # the handler lets no other target through
    view, request_id = call.view, call.exchange.request_id
    source = Source(
        values=view.values,
        model=model,
        stream=view.stream,
        request_id=request_id,
        now=int(time.time()),
        drop_params=route.drop_params,
        cost=lambda usage: cost_usd(usage, route.price),
    )
    asked = pair.request(source)
    place = backend.provider.target(Asked(pair.target, asked.path, asked.query, model, view.stream))
    headers = _headers(call, asked)
    return Outgoing(method=b"POST", target=place, headers=headers, request_id=request_id, body=asked.body), asked.back


def served(api: str, backend: Backend, translators: Translators) -> bool:
    """Tell whether *backend* can answer a request of this API, itself or translated."""
    return api in backend.provider.apis or translators.find(api, backend.provider.apis) is not None


def _passed_on(call: Call) -> Outgoing:
    length, place = call.declared_length if call.more is not None else None, call.path + call.query
    return Outgoing(call.method, place, call.headers, call.exchange.request_id, call.body, call.more, length, call.heads)


def _headers(call: Call, asked: Translated) -> list[Header]:
    return [*(pair for pair in call.headers if pair[0].lower() in _UNIVERSAL), *_JSON, *asked.headers]
