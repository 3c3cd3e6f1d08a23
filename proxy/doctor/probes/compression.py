"""Does a client that accepts compression, as browsers do, still get each event as it is sent?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from proxy.doctor.arrivals import Arrival, Seen
from proxy.doctor.hop import Course
from proxy.doctor.listening import Patience
from proxy.doctor.probes.base import Desk, Finding
from proxy.doctor.rules import Symptom
from proxy.doctor.verdicts import Kind, Verdict, judge

CODINGS: Final = "gzip, br, zstd"
COURSE: Final = Course(count=4, interval=0.5, size=600)  # above the 512 bytes from which Caddy compresses


@dataclass(frozen=True, slots=True)
class Compression:
    """Events that are large enough to be worth compressing."""

    course: Course = COURSE
    name: str = "compression"

    @property
    def seconds(self) -> float:
        return self.course.seconds

    async def run(self, desk: Desk) -> Finding:
        course = self.course
        ask = desk.ask(course.query, coding=CODINGS)
        seen = await desk.stream(ask, Patience(silence=course.seconds + 30, whole=course.seconds + 30), expected=course.count)
        verdict = judge(seen) if seen.expected else opaque(seen, course)
        ok = verdict.kind is Kind.STREAMING
        how = f"compressed ({seen.encoding})" if seen.encoding else "not compressed"
        mend = None if ok else desk.mend(Symptom.ENCODED if seen.encoding else Symptom.HELD)
        return Finding(
            probe=self.name, ok=ok, said=f"{how}: {verdict.words}", fix=mend, facts={"encoding": seen.encoding or None}
        )


def opaque(seen: Seen, course: Course) -> Verdict:
    """Return the verdict on a stream in an encoding that is not read here, from the times of its pieces alone."""
    if not seen.complete:
        return judge(seen)
    pieces = [
        piece
        for index, piece in enumerate(seen.pieces)
        if not index or piece.at - seen.pieces[index - 1].at > course.interval / 5
    ]
    if len(pieces) == 1 and course.seconds and seen.pieces[0].at >= course.seconds * 0.8:
        return Verdict(kind=Kind.BUFFERED, seconds=seen.pieces[0].at)
    if len(pieces) < course.count:
        return Verdict(kind=Kind.COALESCED, burst=-(-course.count // len(pieces)))
    return judge(replace(seen, arrivals=tuple(Arrival(piece.at) for piece in pieces)))
