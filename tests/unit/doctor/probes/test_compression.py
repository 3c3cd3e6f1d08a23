"""Streams for clients that accept compression."""

from __future__ import annotations

import gzip

import pytest

from proxy.doctor.arrivals import Arrival, End, Piece
from proxy.doctor.hop import Course
from proxy.doctor.probes.compression import CODINGS, Compression, opaque
from proxy.doctor.verdicts import Kind
from tests.support.house import House
from tests.unit.doctor.probes.desks import desk
from tests.unit.doctor.serving import DONE, HEAD, serving, tick
from tests.unit.doctor.sights import seen

QUICK = Course(count=3, interval=0.1, size=600)


async def test_proxy_alone_does_not_compress(house: House) -> None:
    async with desk(house.url) as it:
        finding = await Compression(QUICK).run(it)

    assert (finding.ok, finding.said, finding.fix) == (True, "not compressed: STREAMING", None)


async def test_stream_that_is_compressed_and_held_back_has_its_mend() -> None:
    late = b"".join(tick(number, number * -1000.0) for number in (3, 2, 1))  # as if they had been sent long ago
    async with serving(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(late + DONE)) as server:
        async with desk(server.url, products=["Caddy"]) as it:
            finding = await Compression(QUICK).run(it)

        assert (finding.ok, finding.facts) == (False, {"encoding": "gzip"})
        assert finding.said.startswith("compressed (gzip): BUFFERED")
        assert finding.fix is not None
        assert "encode" in finding.fix.text
        assert b"Accept-Encoding: " + CODINGS.encode() in server.heads[0]


@pytest.mark.parametrize(
    ("times", "kind"),
    [
        ([0.1, 0.6, 1.1], Kind.STREAMING),
        ([0.1, 0.6, 0.61, 1.1, 1.11], Kind.STREAMING),
        ([1.0, 1.01, 1.02], Kind.BUFFERED),
        ([0.1, 1.1], Kind.COALESCED),
        ([0.1], Kind.COALESCED),
    ],
)
def test_what_cannot_be_read_is_judged_by_its_pieces(times: list[float], kind: Kind) -> None:
    pieces = tuple(Piece(at, 10) for at in times)
    it = seen(pieces=pieces, arrivals=tuple(Arrival(at) for at in times), expected=None, end=End.CLEAN)

    assert opaque(it, Course(count=3, interval=0.5)).kind is kind


@pytest.mark.parametrize("times", [(), (0.1, 0.2)])
def test_stream_that_breaks_off_is_cut_whatever_came(times: tuple[float, ...]) -> None:
    it = seen(
        pieces=tuple(Piece(at, 9) for at in times), arrivals=tuple(Arrival(at) for at in times), expected=None, end=End.BROKEN
    )

    assert opaque(it, QUICK).kind is Kind.CUT
