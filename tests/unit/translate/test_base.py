from __future__ import annotations

from typing import Any

from proxy.exchange import Usage
from proxy.translate.base import EventTranslator, Source, Translated, no_cost, with_cost


class Mute(EventTranslator):
    def feed(self, data: bytes) -> bytes:
        return b""

    def end(self, *, clean: bool) -> bytes:
        return b""


def test_a_stream_has_no_usage_before_an_upstream_says_it() -> None:
    assert Mute().usage is None


def test_parameters_are_dropped_only_where_that_is_wanted() -> None:
    values: dict[str, Any] = {}

    assert not Source(values=values, model="m", stream=True, request_id="r1", now=1).drop_params


def test_a_translated_request_has_no_query_and_no_headers_of_its_own_accord() -> None:
    asked = Translated(path=b"/v1/messages", body=b"{}", back=None)  # type: ignore[arg-type]  # not looked at here

    assert (asked.query, asked.headers) == (b"", ())


def test_a_cost_that_is_not_known_is_not_told() -> None:
    assert with_cost({"a": 1}, Usage(1, 2), no_cost) == {"a": 1}
    assert with_cost({"a": 1}, Usage(1, 2), lambda usage: 0.25) == {"a": 1, "cost_usd": 0.25}
