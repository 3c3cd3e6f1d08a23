from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.base import CONTENT
from proxy.dialects.chat import ChatObserver
from proxy.dialects.gemini_stream import GeminiObserver
from proxy.dialects.shape import CountedShape, Shape
from tests.support.streams import case_count
from tests.unit.dialects import recordings_gemini as gemini
from tests.unit.dialects.recordings import DONE, STOP, chunk, delta

PADDED = ',"usage":null,"obfuscation":"a8Fk"'
SEEN = [
    delta('"content":"Hi"'),
    delta('"content": "Hi"'),
    delta('"content":"Hi"', rest=PADDED),
    delta('"content":"","reasoning_content":"Hm"'),
    delta('"reasoning":"Hm"'),
    delta('"refusal":"no"'),
    delta('"tool_calls":[{"index":0,"function":{"arguments":"{\\"a\\":"}}]'),
    chunk('{"text":"Hi","index":0,"finish_reason":null}'),
    delta('"content":"Hi"').replace(b"\n", b"\r\n"),
    b"id: 1\n" + delta('"content":"Hi"'),
]


def shape_of(block: bytes) -> Shape:
    shape = Shape.of(block)
    assert shape is not None
    return shape


def with_text(text: str, *, padding: str | None = None) -> bytes:
    rest = "" if padding is None else f',"usage":null,"obfuscation":"{padding}"'
    return delta(f'"content":{json.dumps(text)}', rest=rest)


def mutants(block: bytes, count: int) -> Iterator[bytes]:
    """Yield versions of *block* in which a few bytes were changed, left out or doubled, mostly near its text."""
    rng = random.Random(len(block))
    signs = b'"\\\n\r:,{}[]ntu0e \x00'
    hole = re.search(rb'H[im]"|no"|:"{', block)
    assert hole is not None
    for _ in range(count):
        mutant = bytearray(block)
        for _ in range(rng.randint(1, 3)):
            near = rng.randint(max(0, hole.start() - 3), min(len(mutant), hole.end() + 3) - 1)
            at = near if rng.random() < 0.9 else rng.randrange(len(mutant))
            how = rng.randrange(4)
            if how == 0:
                mutant[at] = rng.choice(signs)
            elif how == 1:
                del mutant[at : at + rng.randint(1, 4)]
            elif how == 2:
                mutant[at:at] = bytes(rng.choices(signs, k=rng.randint(1, 3)))
            else:
                mutant[at:at] = mutant[at : at + 9]
        yield bytes(mutant)


@pytest.mark.parametrize("block", SEEN, ids=range(len(SEEN)))
def test_a_chunk_has_its_own_shape(block: bytes) -> None:
    assert shape_of(block).fits(block)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_chunk_with_another_text_has_the_same_shape(one: str, other: str) -> None:
    assert shape_of(with_text(one)).fits(with_text(other))


@given(st.text(min_size=1), st.from_regex(r"[A-Za-z0-9]+", fullmatch=True))
def test_neither_padding_nor_text_is_part_of_the_shape(text: str, padding: str) -> None:
    assert shape_of(with_text("Hi", padding="a8Fk")).fits(with_text(text, padding=padding))


@pytest.mark.parametrize(
    "other",
    [
        with_text(""),
        with_text("Hi", padding="a8Fk"),
        with_text("Hi") + with_text("Hi"),
        with_text("Hi")[:-1],
        with_text("Hi")[:-2],
        with_text("Hi").replace(b"\n", b"\r\n"),
        b": c\n\n" + with_text("Hi"),
        delta('"content":"Hi"', '"stop"'),
        delta('"content":"Hi"', index=1),
        delta('"content":"Hi","tool_calls":[]'),
        delta('"content":"Hi"', rest=',"usage":{"prompt_tokens":1}'),
        delta('"content":"Hi"', rest=',"error":{"code":1}'),
        delta('"content":"Hi\n"'),
        delta('"content":"Hi\x00"'),
        delta('"content":"\\q"'),
        delta('"content":"\\u12"'),
        STOP,
        DONE,
        b"",
    ],
    ids=range(19),
)
def test_any_other_difference_is_one(other: bytes) -> None:
    assert not shape_of(with_text("Hi")).fits(other)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (b'"finish_reason":null', b'"finish_reason":"ab"'),
        (b'"finish_reason":null', b'"finish_reason":1234'),
        (b'"usage":null', b'"error":null'),
        (b'"usage":null', b'"usage":{"a"}'),
        (b'"obfuscation"', b'"obfuscatioN"'),
        (b'"}\n\n', b'"]\n\n'),
        (b'"}\n\n', b'"}\n\r'),
        (b'"}\n\n', b'"}\n\n\n'),
        (b'"}\n\n', b'","x":1}\n\n'),
    ],
)
def test_nothing_but_text_and_padding_may_differ(part: bytes, other: bytes) -> None:
    block = with_text("Hi", padding="a8Fk")
    assert block.count(part) == 1

    assert not shape_of(block).fits(block.replace(part, other))


@pytest.mark.parametrize("padding", ['x"', "x\n", "x\\", 'x","y":"'], ids=repr)
def test_padding_is_one_string(padding: str) -> None:
    assert not shape_of(with_text("Hi", padding="a8Fk")).fits(with_text("Hi", padding=padding))


def test_chunks_that_came_together_fit_if_each_does() -> None:
    shape = shape_of(with_text("Hi"))
    some, other = with_text("there") + with_text("!"), with_text("Hi").replace(b"chatcmpl", b"other")

    assert shape.fit_all(some)
    assert not any(
        map(shape.fit_all, (b"", some + DONE, STOP + some, some[:-1], some[:-2], some + b"data", other + some, some + other))
    )


@given(st.lists(st.sampled_from([*SEEN, with_text("a"), with_text("\n"), STOP, DONE, b": busy\n\n"]), min_size=1, max_size=6))
def test_it_is_one_whether_chunks_come_together_or_one_by_one(chunks: list[bytes]) -> None:
    together, apart = ChatObserver(1), ChatObserver(1)
    for each in (together, apart):
        each.feed(SEEN[0])
    seen = 0
    for block in chunks:
        seen |= apart.feed(block)

    assert together.feed(b"".join(chunks)) == seen
    assert (together.terminal, together.complete(clean=True)) == (apart.terminal, apart.complete(clean=True))


def test_padding_that_was_empty_is_no_padding() -> None:
    shape = shape_of(with_text("Hi", padding=""))

    assert shape.fits(with_text("you", padding=""))
    assert not shape.fits(with_text("you", padding="x"))


@pytest.mark.parametrize(
    "block", [STOP, DONE, b": c\n\n", delta('"content":""'), delta('"content":null'), b'data: {"content":"cut', b""], ids=repr
)
def test_a_chunk_without_text_has_no_shape(block: bytes) -> None:
    assert Shape.of(block) is None


@pytest.mark.parametrize("end", [b"\r\r", b"\n\r"], ids=repr)
@pytest.mark.parametrize(
    "block",
    [with_text("Hi"), with_text("Hi", padding="a8Fk"), gemini.text("Hi", 1)],
    ids=["plain", "padded", "counted"],
)
def test_a_chunk_that_ends_in_cr_is_shown_to_the_observer_each_time(block: bytes, end: bytes) -> None:
    """The LF may be still on its way, so that nothing may be put behind such a chunk as behind all that are alike."""
    chunk = block.rstrip(b"\r\n") + end
    shape = Shape.of(chunk)

    assert shape is not None
    assert shape.fits(chunk)
    assert not shape.fits_framed(b"%x\r\n%b\r\n" % (len(chunk), chunk), len(b"%x\r\n" % len(chunk)))


@pytest.mark.parametrize("block", SEEN, ids=range(len(SEEN)))
def test_whatever_fits_is_one_event_of_content_when_it_is_read(block: bytes) -> None:
    """The shortcut may never see something else than the reader does."""
    shape = shape_of(block)
    fitting = 0

    for mutant in mutants(block, case_count() // 10):
        glance = shape.fits_framed(b"%x\r\n%b\r\n" % (len(mutant), mutant), len(f"{len(mutant):x}\r\n"))
        assert glance or not shape.fits(mutant) or b"\\" in mutant
        if glance or shape.fits(mutant):
            fitting += 1
            observer = ChatObserver(1)
            assert observer.feed(mutant) == CONTENT, mutant
            assert not observer.splitter.held, mutant
            assert observer.usage is None
            assert not observer._finished

    assert fitting > 10


@pytest.mark.parametrize("text", [b"Hi", b" there", b'say \\"hi\\"\\n', b"\\ud83d", b"\xc3\xa9"])
def test_the_text_of_a_chunk_that_fits_is_cut_out_with_its_escapes(text: bytes) -> None:
    def chunk(words: bytes) -> bytes:
        return b'data: {"choices":[{"delta":{"content":"' + words + b'"}}]}\n\n'

    shape = Shape.of(chunk(b"first"))

    assert shape is not None
    assert shape.key == b"content"
    assert shape.text(chunk(text)) == text
    assert shape.text(chunk(text).replace(b"delta", b"other")) is None


def test_the_key_of_a_text_tells_thinking_from_saying() -> None:
    shape = Shape.of(b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n')

    assert shape is not None
    assert shape.key == b"reasoning_content"


COUNTED = gemini.text("Hi", 7)


def test_text_and_counts_are_no_part_of_a_counted_shape() -> None:
    shape = shape_of(COUNTED)

    assert shape.fits(COUNTED)
    assert shape.fits(gemini.text(r"\u20ac \"x\" {}", 12345, prompt=9))
    assert shape.text(gemini.text("you", 12345)) == b"you"


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (b'"Hi"', b'""'),
        (b'"index": 0', b'"index": 1'),
        (b'"index": 0', b'"finishReason": "STOP","index": 0'),
        (b'"promptTokenCount": 8', b'"promptTokenCount": 8,"thoughtsTokenCount": 2'),
        (b'"candidatesTokenCount": 7,', b""),
        (b"}]},", b'}]},"promptFeedback": {"blockReason": "OTHER"},'),
        (b"}]},", b"}],"),
        (b'"TEXT"', b'"AUDIO"'),
        (b"r1A2", b"r1A3"),
        (b"\r\n\r\n", b"\r\n"),
        (b"\r\n\r\n", b"\n\n"),
        (b"data: ", b"id: 1\ndata: "),
    ],
)
def test_nothing_but_text_and_counts_may_differ(part: bytes, other: bytes) -> None:
    assert COUNTED.count(part) == 1

    assert not shape_of(COUNTED).fits(COUNTED.replace(part, other))


def test_no_expression_is_made_for_what_is_new_in_every_chunk() -> None:
    """Making one costs a hundred times what reading a chunk costs."""
    signed = COUNTED.replace(b'"Hi"', b'"Hi","thoughtSignature": "a8Fk"')
    shape = shape_of(signed)
    assert isinstance(shape, CountedShape)

    assert not shape.fits(signed.replace(b"a8Fk", b"zT4e"))

    assert shape._varying is None
    assert shape.fits(signed)
    assert shape._varying is not None


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_cut_chunk_has_no_counted_shape(cut: int) -> None:
    shape = shape_of(COUNTED)

    assert not shape.fits(COUNTED[:-cut])
    assert not shape.fits(COUNTED[cut:])


@pytest.mark.parametrize(
    "block", [COUNTED, COUNTED.replace(b'"Hi"', b'"Hi","thought": true'), COUNTED.replace(b": ", b":")], ids=range(3)
)
def test_whatever_fits_a_counted_shape_is_content_when_it_is_read(block: bytes) -> None:
    shape = shape_of(block)
    fitting = 0

    for mutant in mutants(block, case_count() // 10):
        assert shape.fits_framed(b"1\r\n" + mutant + b"\r\n", 3) == shape.fits(mutant)
        if shape.fits(mutant):
            fitting += 1
            observer = GeminiObserver(1)
            assert observer.feed(mutant) == CONTENT, mutant
            assert not observer.splitter.held, mutant
            assert not observer._finished

    assert fitting > 10
