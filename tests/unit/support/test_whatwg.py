"""The oracles agree with the standard's own examples, with the real SDK, and with each other."""

from __future__ import annotations

import pytest
from openai._streaming import SSEDecoder

from tests.support.streams import random_cases
from tests.support.whatwg import Event, EventStreamParser, Item, OpenAiDecoder, OpenAiEvent, Retry, events, openai_events, parse


def message(data: str, last_event_id: str = "") -> Event:
    return Event("message", data, last_event_id)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b"data: a\n\n", [message("a")], id="one event"),
        pytest.param(b"data:  a\n\n", [message(" a")], id="at most one space is removed"),
        pytest.param(b"data:\ta\n\n", [message("\ta")], id="a tab is not a space"),
        pytest.param(b"data: a\ndata: b\n\n", [message("a\nb")], id="lines are joined"),
        pytest.param(b"data\n\ndata\ndata\n\n", [message(""), message("\n")], id="empty data is data"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [message("a"), message("b"), message("c")], id="every line end"),
        pytest.param(b"data: a\r\n\rdata: b\n\r\n", [message("a"), message("b")], id="mixed line ends"),
        pytest.param(b"data: a\r\n", [], id="a CRLF is one line end"),
        pytest.param(b"data: a\n\r", [message("a")], id="LF CR is two"),
        pytest.param(b"data: a\n\ndata: b\n", [message("a")], id="an unfinished block is discarded"),
        pytest.param(b"data: a\n\ndata: b", [message("a")], id="an unfinished line is discarded"),
        pytest.param(b"event: e\ndata: a\n\ndata: b\n\n", [Event("e", "a", ""), message("b")], id="a type holds for one event"),
        pytest.param(b"event: e\n\ndata: a\n\n", [message("a")], id="a block without data clears the type"),
        pytest.param(b"event:\ndata: a\n\n", [message("a")], id="an empty type is message"),
        pytest.param(b": c\n\n:\n:d\ndata: a\n:x\ndata: b\n\n", [message("a\nb")], id="comments anywhere"),
        pytest.param(b"Data: a\n data: b\ndata\0: c\nnothing\n\n", [], id="unknown fields"),
        pytest.param(b"data:\0\n\n", [message("\0")], id="a NUL in data stays"),
        pytest.param(b"id: 1\ndata: a\n\ndata: b\n\n", [message("a", "1"), message("b", "1")], id="an id persists"),
        pytest.param(b"id: 1\n\ndata: a\n\n", [message("a", "1")], id="an id without data counts"),
        pytest.param(b"id: 1\ndata: a\n\nid\ndata: b\n\n", [message("a", "1"), message("b")], id="an empty id resets"),
        pytest.param(b"id: 1\nid: 2\0\ndata: a\n\n", [message("a", "1")], id="an id with a NUL is void"),
        pytest.param(b"retry: 03000\nretry: 1s\nretry: -1\nretry\n\n", [Retry(3000)], id="retry is decimal digits"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [message("a")], id="a leading BOM is stripped"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [message("b")], id="only one BOM is stripped"),
        pytest.param(b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [message("a")], id="a later BOM is content"),
        pytest.param(b"data: \xe2\x82\n\n", [message("\ufffd")], id="broken UTF-8 is replaced"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_stream_means_what_the_standard_says(stream: bytes, expected: list[Item]) -> None:
    parser = EventStreamParser()

    assert parse(stream) == expected
    assert parser.feed(stream) == expected


def test_events_leaves_retries_out() -> None:
    assert events(b"retry: 1\ndata: a\n\n") == [message("a")]


def test_cuts_do_not_change_what_is_parsed() -> None:
    """The two parsers are written apart: that they agree on every cut speaks for both."""
    for case in random_cases(2_000, seed=1):
        parser = EventStreamParser()

        items = [item for piece in case.pieces for item in parser.feed(piece)]

        assert items == parse(case.stream), case


def test_id_for_a_reconnect_is_that_of_the_last_finished_block() -> None:
    parser = EventStreamParser()

    parser.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")

    assert parser.last_event_id == "1"


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b": c\n\n", [], id="comment"),
        pytest.param(b"id: 7\ndata: {}\n\n", [OpenAiEvent(None, "{}", "7", None)], id="event with an id"),
        pytest.param(b"id: 7\n\n: c\n\n", [OpenAiEvent(None, "", "7", None)] * 2, id="blank line after an id"),
        pytest.param(b"id: 7\n\n: c\n", [OpenAiEvent(None, "", "7", None)], id="comment line after an id"),
        pytest.param(b"retry: 3\n\n", [OpenAiEvent(None, "", None, 3)], id="retry alone"),
        pytest.param(b"event: ping\n\n", [OpenAiEvent("ping", "", None, None)], id="event name alone"),
        pytest.param(b"\xef\xbb\xbfdata: {}\n\ndata: 1\n\n", [OpenAiEvent(None, "1", None, None)], id="BOM spoils the first"),
        pytest.param(b"data: {}\n", [], id="unfinished"),
    ],
)
def test_openai_decoder_has_the_traps_of_the_sdk(stream: bytes, expected: list[OpenAiEvent]) -> None:
    assert OpenAiDecoder().feed(stream) == expected


def test_openai_decoder_agrees_with_the_installed_sdk() -> None:
    for case in random_cases(2_000, seed=2):
        stream = case.stream + b"\n\n"  # a cut character at the end would be an error of its own
        pieces = [*case.pieces, b"\n\n"]
        try:
            expected = [OpenAiEvent(e.event, e.data, e.id, e.retry) for e in SSEDecoder().iter_bytes(iter([stream]))]
        except UnicodeDecodeError:
            continue

        assert openai_events(pieces) == expected, case
