"""Listens to one stream until it ends, falls silent, or has been heard for long enough; it always comes back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from proxy.doctor.arrivals import End, Piece, Seen
from proxy.doctor.fingerprints import LINES, media_type
from proxy.doctor.reading import Reader
from proxy.doctor.wire import Answer, Unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds: for the head, for the next byte, and for everything."""

    head: float = 30.0
    silence: float = 30.0
    whole: float = 60.0


async def listen(answer: Answer, patience: Patience, *, expected: int | None = None, enough: int | None = None) -> Seen:
    """Read the body of *answer* to its end, and return what was seen. *expected* is the number of events that were asked for.

    Nothing more is read after *enough* events.
    """
    ear = _Ear(answer, patience, enough)
    end = await ear.hear()
    reader = ear.reader
    return Seen(
        status=answer.status,
        version=answer.version,
        headers=answer.headers,
        headers_at=answer.headers_at,
        connected_at=answer.connected_at,
        tls=answer.tls,
        ended_at=answer.now,
        end=end,
        arrivals=tuple(reader.arrivals),
        pieces=tuple(ear.pieces),
        expected=expected if reader.readable else None,
        told=reader.told,
        keepalives=reader.keepalives,
    )


class _Ear:
    def __init__(self, answer: Answer, patience: Patience, enough: int | None) -> None:
        self._answer = answer
        self._enough = enough
        self._patience = patience
        coding = answer.headers.get("content-encoding", "").lower().replace("identity", "")
        self.reader = Reader(coding, lines=media_type(answer.headers) in LINES)
        self.pieces: list[Piece] = []

    async def hear(self) -> End:
        try:
            async with asyncio.timeout(self._patience.whole):
                return await self._until_silence()
        except TimeoutError:
            return End.ENDLESS if self.pieces else End.SILENT
        except (Unreachable, ValueError):
            return End.BROKEN

    async def _until_silence(self) -> End:
        while True:
            try:
                async with asyncio.timeout(self._patience.silence):
                    data = await self._answer.piece()
            except TimeoutError:
                return End.SILENT
            if not data:
                return End.DONE if self.reader.done else End.CLEAN
            if not self._take(data):
                return End.ENDLESS

    def _take(self, data: bytes) -> bool:
        """Take a piece; tells whether more is wanted."""
        at = self._answer.now
        self.pieces.append(Piece(at, len(data)))
        self.reader.feed(data, at)
        return not self.reader.full and (self._enough is None or len(self.reader.arrivals) < self._enough)
