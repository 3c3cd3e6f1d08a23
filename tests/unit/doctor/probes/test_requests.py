"""Requests of all sorts."""

from __future__ import annotations

import pytest

from proxy.doctor.probes.requests import Bodies, Headers, Post
from tests.support.house import House
from tests.unit.doctor.probes.desks import desk
from tests.unit.doctor.serving import DONE, HEAD, serving, tick

KIB = 1 / 1024


async def test_post_is_answered_with_a_stream(house: House) -> None:
    async with desk(house.url) as it:
        finding = await Post().run(it)

    assert (finding.ok, finding.said, finding.fix) == (True, "STREAMING", None)


async def test_post_that_does_not_arrive_as_one_is_a_fault() -> None:
    ticks = b"".join(tick(number, number * 1.0) for number in range(1, 5))
    async with serving(HEAD + b"\r\n" + ticks + DONE) as server, desk(server.url) as it:
        finding = await Post().run(it)

    assert (finding.ok, finding.said) == (False, "the request does not arrive as it was sent")


async def test_bodies_get_through_up_to_the_limit(house: House) -> None:
    async with desk(house.url, products=["nginx"]) as it:
        good = await Bodies((32 * KIB, 8 * KIB)).run(it)
        bad = await Bodies((8 * KIB, 128 * KIB)).run(it)

    assert (good.ok, good.said, good.facts) == (True, "up to 0.03125 MiB get through", {"passed": 0.03125})
    assert bad.ok is False
    assert "0.125 MiB do not get through: the request is too large for it (status 413); 0.0078125 MiB do" in bad.said
    assert bad.fix is not None
    assert "client_max_body_size" in bad.fix.text


async def test_body_that_arrives_in_part_only_is_a_fault() -> None:
    async with serving(HEAD + b"\r\n" + tick(1) + DONE) as server, desk(server.url) as it:
        finding = await Bodies((KIB,)).run(it)

    assert finding.ok is False
    assert "only a part of it arrived" in finding.said


async def test_headers_get_through_up_to_the_limit(house: House) -> None:
    async with desk(house.url) as it:
        good = await Headers((4.0, 15.0)).run(it)
        bad = await Headers((4.0, 20.0)).run(it)

    assert (good.ok, good.said) == (True, "up to 15 KiB get through")
    assert (bad.ok, bad.facts) == (False, {"passed": 4.0, "refused": 20.0})


@pytest.mark.parametrize("probe", [Post(), Bodies((1.0,)), Headers((1.0,))])
def test_probes_say_how_long_they_take(probe: Post | Bodies | Headers) -> None:
    assert probe.seconds > 0
