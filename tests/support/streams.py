"""Generated event streams with cuts and tick positions, for the properties that must hold for every way of cutting a stream.

Two sources of the same kind of case: `random_cases` is fast and repeatable by its seed, for tens of thousands; `cases` is a
hypothesis strategy, slower, and shrinks what it finds.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

LONG: Final = "LLM_PROXY_TESTS_LONG"
BOM: Final = b"\xef\xbb\xbf"
TERMINATORS: Final = (b"\n", b"\r\n", b"\r")
LINES: Final = (
    b"data: a",
    b"data:b",
    b"data",
    b"data: ",
    b"data:\tx",
    b"data: \xe2\x82\xac\xf0\x9f\x98\x80",  # € and 😀: every cut inside is a split character
    b'data: {"choices":[{"delta":{"content":"\xc3\xa9"}}]}',
    b"data: [DONE]",
    b"data: \x00",
    b" data: not a field",
    b"Data: nor this",
    b"event: e",
    b"event",
    b"id: 7",
    b"id",
    b"id: 8\x009",  # a NUL makes the whole field void
    b"retry: 030",
    b"retry: soon",
    b": comment",
    b":",
    b":\x00",
    b"unknown: field",
    b"unknown",
    BOM,
    BOM + b"data: behind a mark",
)


class Tick:
    """A moment in which the relay's clock is looked at and a frame may be injected."""

    def __repr__(self) -> str:
        return "TICK"


TICK: Final = Tick()


@dataclass(frozen=True, slots=True)
class Case:
    """A stream, where it is cut, and before which pieces a tick comes (0 to the number of pieces, that is, after the last)."""

    stream: bytes
    cuts: tuple[int, ...] = ()
    ticks: frozenset[int] = frozenset()

    @property
    def pieces(self) -> list[bytes]:
        """The stream as it arrives."""
        bounds = (0, *self.cuts, len(self.stream))
        return [self.stream[start:end] for start, end in itertools.pairwise(bounds) if start < end]

    def steps(self) -> Iterator[bytes | Tick]:
        """Yield pieces and ticks in the order in which they happen."""
        pieces = self.pieces
        for number, piece in enumerate(pieces):
            if number in self.ticks:
                yield TICK
            yield piece
        if len(pieces) in self.ticks:
            yield TICK


def case_count(usual: int = 10_000, long: int = 100_000) -> int:
    """Return how many random cases a property is tried on: *long* with LLM_PROXY_TESTS_LONG=1."""
    return long if os.environ.get(LONG) == "1" else usual


def random_cases(count: int, seed: int = 0) -> Iterator[Case]:
    """Yield *count* cases, always the same ones for the same *seed*."""
    rng = random.Random(seed)
    for _ in range(count):
        stream = random_stream(rng)
        yield random_case(rng, stream)


def random_stream(rng: random.Random) -> bytes:
    """Make a short stream: up to nine lines, a third of them blank, often unfinished."""
    favourite = rng.choice(TERMINATORS)
    mixed = rng.random() < 0.5
    parts = [BOM] if rng.random() < 0.15 else []
    for _ in range(rng.randrange(10)):
        if rng.random() < 0.65:
            parts.append(rng.choice(LINES))
        parts.append(rng.choice(TERMINATORS) if mixed else favourite)
    stream = b"".join(parts)
    return stream[: rng.randrange(len(stream) + 1)] if rng.random() < 0.2 else stream


def random_case(rng: random.Random, stream: bytes) -> Case:
    """Cut *stream*: nowhere, everywhere, at line ends, or anywhere; and tick never, always or now and then."""
    how = rng.randrange(4)
    places = range(1, len(stream))
    if how == 0:
        cuts: Sequence[int] = ()
    elif how == 1:
        cuts = places
    elif how == 2:
        cuts = [place for place in places if stream[place - 1] in b"\r\n"]
    else:
        share = rng.random() / 2
        cuts = [place for place in places if rng.random() < share]
    share = rng.choice((0.0, 0.5, 1.0, 1.0))
    ticks = frozenset(number for number in range(len(cuts) + 2) if rng.random() < share)
    return Case(stream, tuple(cuts), ticks)


def event_streams() -> st.SearchStrategy[bytes]:
    """Describe streams: the lines above and free text, every line end, a BOM in front, an unfinished tail."""
    free = st.text(max_size=4).map(str.encode).map(lambda text: b"data: " + text.replace(b"\r", b"").replace(b"\n", b""))
    line = st.one_of(st.just(b""), st.sampled_from(LINES), free)
    lines = st.lists(st.tuples(line, st.sampled_from(TERMINATORS)).map(b"".join), max_size=8).map(b"".join)
    tail = st.one_of(st.just(b""), line)
    return st.tuples(st.sampled_from((b"", b"", BOM, BOM + BOM)), lines, tail).map(b"".join)


@st.composite
def cases(draw: st.DrawFn, streams: st.SearchStrategy[bytes] | None = None) -> Case:
    """Describe cases over *streams* (default: `event_streams`)."""
    stream = draw(streams or event_streams())
    places = st.integers(1, len(stream) - 1) if len(stream) > 1 else st.nothing()
    cuts = draw(st.sets(places))
    ticks = draw(st.sets(st.integers(0, len(cuts) + 1)))
    return Case(stream, tuple(sorted(cuts)), frozenset(ticks))
