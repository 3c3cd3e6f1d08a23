from __future__ import annotations

import re

import pytest

from proxy.translate.chat_deltas import Delta, Kind
from proxy.translate.messages_events import MessageEvents
from proxy.translate.messages_order import MessageOrder, Part, call_id

TEXT, THOUGHT = Delta(Kind.TEXT, b"words"), Delta(Kind.REASONING, b"thoughts")


def call(number: int, text: bytes = b"", *, begun: bool = False) -> Delta:
    return Delta(Kind.CALL, text, number, f"id{number}" if begun else "", f"f{number}" if begun else "")


def order() -> MessageOrder:
    return MessageOrder(MessageEvents("r1"), "r1")


def story(*said: bytes) -> str:
    """Return in short what was told: `+` begins a block, `-` ends it, what is between are pieces."""
    found = re.findall(
        r'"content_block":\{"type":"(\w)|(content_block_stop)"|"(?:text|thinking|partial_json)":"((?:[^"\\]|\\.)+)"\}\}',
        b"".join(said).decode(),
    )
    return " ".join(f"+{begun}" if begun else "-" if ended else piece for begun, ended, piece in found)


def test_words_and_thoughts_follow_each_other_at_once() -> None:
    one = order()

    assert story(one.add(THOUGHT)) == "+t thoughts"
    assert story(one.add(THOUGHT)) == "thoughts"
    assert story(one.add(TEXT)) == "- +t words"
    assert story(one.add(Delta(Kind.REFUSAL, b"no"))) == "no"
    assert story(one.end()) == "-"
    assert one.kept == 0


def test_a_call_goes_out_piece_by_piece() -> None:
    one = order()

    assert story(one.add(TEXT), one.add(call(0, begun=True))) == "+t words - +t"
    assert story(one.add(call(0, rb"{\"a\":"))) == r"{\"a\":"
    assert one.add(call(0)) == b""
    assert story(one.add(call(0, b"1}"))) == "1}"
    assert story(one.end()) == "-"


def test_the_next_call_waits_until_the_json_of_the_open_one_is_complete() -> None:
    one = order()
    one.add(call(0, b"{", begun=True))

    assert one.add(call(1, b"{}", begun=True)) == b""
    assert story(one.add(call(0, rb"\"a\":{}"))) == r"\"a\":{}"
    assert story(one.add(call(0, b"}"))) == "} - +t {}"
    assert story(one.end()) == "-"


def test_a_complete_call_is_ended_by_whatever_comes_next() -> None:
    one = order()
    one.add(call(0, b"{}", begun=True))

    assert story(one.add(call(1, begun=True))) == "- +t"
    assert one.add(TEXT) == b""  # behind a call that may still get its arguments
    assert story(one.add(call(1, b"{} "))) == "{}  - +t words"


def test_what_waits_comes_out_at_the_end_in_the_order_in_which_it_began() -> None:
    one = order()
    one.add(call(0, begun=True))
    for delta in (call(1, b"{", begun=True), call(2, begun=True), call(1, b"}"), TEXT, THOUGHT, TEXT):
        assert one.add(delta) == b""

    assert story(one.end()) == "- +t { } - +t - +t words - +t thoughts - +t words -"
    assert one.kept == 0


def test_a_call_begins_with_its_name() -> None:
    one = order()

    assert one.add(Delta(Kind.CALL, b"{", 0, "id")) == b""
    out = one.add(Delta(Kind.CALL, b"}", 0, "", "f"))

    assert story(out) == "+t { }"
    assert b'"id":"id","name":"f"' in out


def test_a_call_without_an_id_gets_one() -> None:
    assert b'"id":"call_r1_3"' in order().add(Delta(Kind.CALL, b"", 3, "", "f"))
    assert call_id("r1", 3) == "call_r1_3"


def test_all_that_is_held_is_counted() -> None:
    one = order()
    one.add(call(0, b"{", begun=True))
    one.add(call(1, b"123", begun=True))
    held = one.kept

    one.add(call(0, b"}"))

    assert (held, one.kept) == (4, 3)


@pytest.mark.parametrize(
    ("pieces", "ended"),
    [
        ([], False),
        ([b"{"], False),
        ([b"{", b"}"], True),
        ([rb"{\"a\":{}"], False),
        ([b"[]"], False),
        ([b"x}"], False),
        ([b"{}}"], False),
    ],
)
def test_a_call_has_ended_when_nothing_can_follow(pieces: list[bytes], ended: bool) -> None:
    part = Part(call(0, begun=True))
    part.pieces += pieces

    assert part.ended is ended
