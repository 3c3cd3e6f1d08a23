"""Puts one request to one target: in the client's own API where the target speaks it, else translated, with the way back."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from proxy.dialects.base import RequestView
from proxy.handler.call import Call
from proxy.handler.pricing import cost_usd
from proxy.handler.surface import Match
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


class Question(NamedTuple):
    """A request as one target gets it; *back* translates its answers, None where they pass as they are."""

    out: Outgoing
    back: Back | None = None


class Wish(NamedTuple):
    """What a client asks for, whoever is going to answer it."""

    match: Match
    view: RequestView
    route: Route | None = None  # None: a named upstream was asked, by a path of its own

    def of(self, call: Call, backend: Backend, target: Target) -> Question:
        """Return the request for *target*. Raises Untranslatable, or BadRequest, where it cannot be put to it."""
        if self.route is None:
            return Question(_outgoing(call, call.path + call.query, call.body))
        if self.match.api in backend.provider.apis:
            return self._native(call, self.route, backend, target)
        return self._translated(call, self.route, backend, target)

    def _native(self, call: Call, route: Route, backend: Backend, target: Target) -> Question:
        place, body = self._target(call, backend, target), self._body(call, backend, target)
        if route.ask_usage and self.view.stream and self.match.api in _ASKED_FOR_USAGE:
            asking = with_usage_asked(body, self.view.values)
            if asking is not None:
                return Question(_outgoing(call, place, asking), AskedUsage())
        return Question(_outgoing(call, place, body))

    def _target(self, call: Call, backend: Backend, target: Target) -> bytes:
        api, canonical = self.match.api, self.match.canonical
        if not canonical:
            return backend.provider.target(Asked(api, call.path, call.query, target.model, self.view.stream))
        query, version = take_version(call.query)
        return backend.provider.target(Asked(api, canonical, query, target.model, self.view.stream, version))

    def _body(self, call: Call, backend: Backend, target: Target) -> bytes:
        place = self.view.place
        if place is None or place.model == target.model or not backend.provider.reads_model(self.match.api):
            return call.body
        return place.with_model(target.model)

    def _translated(self, call: Call, route: Route, backend: Backend, target: Target) -> Question:
        pair = call.runtime.translators.find(self.match.api, backend.provider.apis)
        assert pair is not None  # the handler lets no other target through
        source = Source(
            values=self.view.values,
            model=target.model,
            stream=self.view.stream,
            request_id=call.exchange.request_id,
            now=int(time.time()),
            drop_params=route.drop_params,
            cost=lambda usage: cost_usd(usage, route.price),
        )
        asked = pair.request(source)
        place = backend.provider.target(Asked(pair.target, asked.path, asked.query, target.model, self.view.stream))
        headers = _headers(call, asked)
        out = Outgoing(method=b"POST", target=place, headers=headers, request_id=call.exchange.request_id, body=asked.body)
        return Question(out, asked.back)


def served(api: str, backend: Backend, translators: Translators) -> bool:
    """Tell whether *backend* can answer a request of this API, itself or translated."""
    return api in backend.provider.apis or translators.find(api, backend.provider.apis) is not None


def _outgoing(call: Call, target: bytes, body: bytes) -> Outgoing:
    length = call.declared_length if call.more is not None else None
    return Outgoing(call.method, target, call.headers, call.exchange.request_id, body, call.more, length, call.heads)


def _headers(call: Call, asked: Translated) -> list[Header]:
    return [*(pair for pair in call.headers if pair[0].lower() in _UNIVERSAL), *_JSON, *asked.headers]
