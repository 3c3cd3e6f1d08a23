"""What upstreams send and what a client must get of it, byte for byte, as files below `tests/golden/`.

`LLM_PROXY_GOLDEN=write` writes the clients' side anew; what has changed is then for the eyes of whoever commits it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.translate.base import EventTranslator
from tests.support.streams import case_count

ROOT: Final = Path(__file__).resolve().parent.parent / "golden"
WRITE: Final = os.environ.get("LLM_PROXY_GOLDEN") == "write"


@dataclass(frozen=True, slots=True)
class Golden:
    """One recorded stream, and where the client's side of it stands."""

    upstream: bytes
    client: Path
    name: str

    def __str__(self) -> str:
        return self.name

    def expected(self, made: bytes) -> bytes:
        """Return what the client must get; *made* is what it does get."""
        if WRITE:
            self.client.parent.mkdir(exist_ok=True)
            self.client.write_bytes(made)
        return self.client.read_bytes()


def golden(upstream: str, client: str) -> list[Golden]:
    """Return the streams of one API, each with its translation into another."""
    files = sorted((ROOT / upstream).iterdir())
    return [Golden(file.read_bytes(), ROOT / client / f"{file.stem}.sse", file.stem) for file in files]


def translated(translator: EventTranslator, pieces: Iterable[bytes], *, clean: bool = True) -> bytes:
    """Return all that comes out for these reads, and for the end of the body."""
    return b"".join([*(translator.feed(piece) for piece in pieces), translator.end(clean=clean)])


def cuts(stream: bytes, whole_events: bool = True) -> Iterator[list[bytes]]:
    """Yield ways in which a stream may arrive: at once, event by event, byte by byte, and cut anyhow."""
    yield [stream]
    if whole_events:
        yield [event + b"\n\n" for event in stream.split(b"\n\n") if event]
    yield [stream[at : at + 1] for at in range(len(stream))]
    for seed in range(case_count(20)):
        yield _cut_anyhow(stream, random.Random(seed))


def _cut_anyhow(stream: bytes, rng: random.Random) -> list[bytes]:
    largest = rng.choice((3, 40, 400))
    pieces, at = [], 0
    while at < len(stream):
        size = rng.randint(1, largest)
        pieces.append(stream[at : at + size])
        at += size
    return pieces


def assert_cuts_change_nothing(made: Callable[[], EventTranslator], stream: bytes, *, whole_events: bool = True) -> None:
    """Assert that the same comes out however a stream is cut, and that it is whole events at every moment."""
    expected = translated(made(), [stream])
    for pieces in cuts(stream, whole_events):
        translator, said = made(), []
        for piece in pieces:
            said.append(translator.feed(piece))
            assert not said[-1] or said[-1].endswith(b"\n\n")
        said.append(translator.end(clean=True))
        assert b"".join(said) == expected
