"""Clocks and tokens."""

from __future__ import annotations

import dataclasses
import itertools

import jwt
import pytest

from proxy.doctor.probes.skew import Clock, claims, of_token
from tests.support.house import House
from tests.unit.doctor.probes.desks import desk
from tests.unit.doctor.serving import DONE, HEAD, serving

NOW = 1_800_000_000.0
TOLD = HEAD + b'\r\ndata: {"n":1,"unix_ms":%d}\n\n' % (NOW * 1000) + DONE


def token(**seconds: float) -> str:
    """Return a token whose times are these from now."""
    return jwt.encode({name: NOW + each for name, each in seconds.items()}, "s" * 32, algorithm="HS256")


@pytest.mark.parametrize(
    ("here", "ok", "said"),
    [
        (NOW + 1, True, "the proxy's clock is 2.00 s behind this one (± 1.00 s)"),
        (NOW - 22, True, "the proxy's clock is 21.0 s ahead of this one (± 1.00 s)"),
        (NOW + 59, False, "the proxy's clock is 1 min behind this one (± 1.00 s)"),
    ],
)
async def test_clocks_are_compared_in_the_middle_of_the_way(here: float, ok: bool, said: str) -> None:
    wall = itertools.count(here, 2).__next__
    async with serving(TOLD) as server, desk(server.url) as it:
        finding = await Clock().run(dataclasses.replace(it, wall=wall))

    assert finding.ok is ok
    assert finding.said.replace("60.0 s", "1 min") == said


async def test_token_is_judged_by_the_clock_of_the_proxy() -> None:
    async with serving(TOLD) as server, desk(server.url) as it:
        finding = await Clock(token(exp=120)).run(dataclasses.replace(it, wall=lambda: NOW - 10))

    assert finding.ok
    assert finding.said.endswith("; the token is valid for another 2 min")


async def test_clock_of_a_real_proxy_agrees(house: House) -> None:
    async with desk(house.url) as it:
        assert (await Clock("lp_key").run(it)).ok


async def test_proxy_that_does_not_tell_the_time_cannot_be_compared() -> None:
    async with serving(HEAD + b"\r\ndata: {}\n\n" + DONE) as server, desk(server.url) as it:
        assert (await Clock().run(it)).ok is None


@pytest.mark.parametrize(
    ("seconds", "ok", "said"),
    [
        ({"exp": 3600}, True, "the token is valid for another 60 min"),
        ({"exp": -10}, True, "the token is valid for another 0 ms"),
        ({"exp": -120}, False, "the token expired 2 min ago"),
        ({"nbf": 300, "exp": 900}, False, "the token becomes valid in 5 min only"),
        ({"iat": 20, "exp": 900}, True, "the token is valid for another 15 min"),
        ({"iat": 300}, False, "the token becomes valid in 5 min only"),
        ({}, True, ""),
    ],
)
def test_token_is_looked_into(seconds: dict[str, float], ok: bool, said: str) -> None:
    validity = of_token(claims(token(**seconds)), NOW)

    assert (validity.ok, validity.said) == (ok, said)


@pytest.mark.parametrize("text", ["", "lp_key", "a.b.c", "a.W10.c", "a.é.c", "a.####.c"])
def test_what_is_no_token_claims_nothing(text: str) -> None:
    assert claims(text) == {}


def test_token_is_in_no_repr() -> None:
    assert "secret" not in repr(Clock("secret"))
