from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.exchange import Usage
from proxy.sse.events import CAP
from proxy.translate.chat_deltas import Delta
from proxy.translate.from_chat import KEPT, TOO_LARGE, UNREADABLE, FromChat, error_parts
from proxy.translate.json_text import unescaped
from tests.support.golden import Golden, golden, translated

STREAMS = golden("chat", "")


class Spoken(FromChat):
    """Says in plain words what it is asked to tell."""

    __slots__ = ("fast", "held")

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.fast = 0

    @property
    def kept(self) -> int:
        return self.held

    def begin(self) -> bytes:
        return b"<"

    def delta(self, delta: Delta) -> bytes:
        said = unescaped(delta.text).encode("utf-8", "surrogatepass")
        return b"%b %d %b|" % (delta.kind.value.encode(), delta.call, said)

    def more(self, last: Delta, text: bytes) -> bytes:
        self.fast += 1
        return self.delta(last._replace(text=text))

    def finished(self) -> bytes:
        return b"."

    def complete(self) -> bytes:
        return b">"

    def failed(self, error: Any) -> bytes:
        return b"!%b" % orjson.dumps(error)


def text(said: str, **more: Any) -> bytes:
    return b"data: %b\n\n" % orjson.dumps({"choices": [{"index": 0, "delta": {"content": said}, **more}]})


FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_what_is_recognised_by_its_shape_says_what_reading_it_would_say(stream: Golden) -> None:
    class Slow(Spoken):
        def _remember(self, block: bytes, delta: Delta) -> None:
            """Never take the short way."""

    assert translated(Spoken(), [stream.upstream]) == translated(Slow(), [stream.upstream])


def test_chunks_like_the_one_before_are_not_parsed() -> None:
    spoken = Spoken()

    assert (
        translated(spoken, [text("a"), text("b"), text("c") + text("d"), FINISH, DONE])
        == b"<text -1 a|text -1 b|text -1 c|text -1 d|.>"
    )
    assert spoken.fast == 3


def test_a_chunk_that_is_two_things_at_once_is_no_model_for_others() -> None:
    both = b'data: {"choices":[{"index":0,"delta":{"reasoning":"Hm","content":"%b"}}]}\n\n'
    spoken = Spoken()

    out = translated(spoken, [both % b"a", both % b"b", both % b"b"])

    assert out == b"<reasoning -1 Hm|text -1 a|" + 2 * b"reasoning -1 Hm|text -1 b|"
    assert spoken.fast == 0


def test_a_text_that_is_not_the_models_is_no_model_for_others() -> None:
    """A key of that name may stand somewhere else in the chunk, before the one that counts."""
    odd = b'data: {"extra":{"text":"%b"},"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'

    assert translated(Spoken(), [odd % (b"x", b"a"), odd % (b"y", b"a")]) == b"<text -1 a|text -1 a|"


def test_what_only_completes_something_else_is_no_chunk_like_the_one_before() -> None:
    assert translated(Spoken(), [text("a"), b": comment, not ended, and then ", text("b")]) == b"<text -1 a|"


def test_usage_on_every_chunk_is_read_on_every_chunk() -> None:
    spoken = Spoken()
    for number in (1, 2, 3):
        spoken.feed(text("a")[:-3] + b',"usage":{"prompt_tokens":1,"completion_tokens":%d}}\n\n' % number)

    assert spoken.usage == Usage(1, 3)


@pytest.mark.parametrize("clean", [True, False])
def test_done_ends_an_answer_however_the_body_ends(clean: bool) -> None:
    assert translated(Spoken(), [text("a"), DONE], clean=clean) == b"<text -1 a|>"


def test_a_finished_answer_is_complete_at_a_clean_end() -> None:
    assert translated(Spoken(), [text("a"), FINISH]) == b"<text -1 a|.>"
    assert translated(Spoken(), [text("a"), FINISH], clean=False) == b"<text -1 a|."


@pytest.mark.parametrize("clean", [True, False])
def test_an_answer_that_was_cut_short_gets_no_end(clean: bool) -> None:
    assert translated(Spoken(), [text("a"), text("b")[:-4]], clean=clean) == b"<text -1 a|"


def test_nothing_comes_behind_the_end_or_an_error() -> None:
    failure = b'data: {"error":{"message":"no"}}\n\n'

    assert translated(Spoken(), [text("a"), DONE, text("b"), DONE, failure]) == b"<text -1 a|>"
    assert translated(Spoken(), [text("a"), failure, text("a"), DONE]) == b'<text -1 a|!{"message":"no"}'


def test_an_error_that_comes_first_has_nothing_before_it() -> None:
    assert Spoken().feed(b'data: {"error":{"message":"no"}}\n\n') == b'!{"message":"no"}'


def test_comments_and_words_that_are_no_chunks_mean_nothing() -> None:
    assert Spoken().feed(b": wait\n\ndata: ping\n\nid: 1\n\ndata: 1\n\n") == b""


@pytest.mark.parametrize(
    "odd", [b'data: {"choices":\n\n', b"event: error\ndata: upstream connect error\n\n", b'data: {"a":"' + b"x" * CAP + b'"}\n\n']
)
def test_a_chunk_that_cannot_be_read_would_leave_a_hole(odd: bytes) -> None:
    assert translated(Spoken(), [text("a"), odd[:-1], odd[-1:], DONE]) == b"<text -1 a|!" + orjson.dumps(UNREADABLE)


@pytest.mark.parametrize("pieces", [[text("a")], [text("a"), text("b")]], ids=["read", "recognised"])
def test_an_answer_of_which_too_much_is_held_fails(pieces: list[bytes]) -> None:
    spoken = Spoken()
    *before, last = pieces
    translated(spoken, before, clean=False)

    spoken.held = KEPT + 1

    assert spoken.feed(last).endswith(b"|!" + orjson.dumps(TOO_LARGE))
    assert spoken.feed(text("a") + DONE) == b""


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        ({"message": "no", "code": "c", "type": "t"}, ("no", ["c", "t"])),
        ({"message": 1, "code": 500, "type": None}, ("", ["500"])),
        ("words", ("words", [])),
        (None, ("", [])),
        ([1], ("", [])),
    ],
)
def test_an_error_is_a_message_and_words_for_its_kind(error: Any, parts: tuple[str, list[str]]) -> None:
    assert error_parts(error) == parts
