"""Do the clocks here and at the proxy agree, and is the token valid by the proxy's?"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.doctor.listening import Patience
from proxy.doctor.paint import duration
from proxy.doctor.probes.base import Desk, Finding

LEEWAY: Final = 30.0  # seconds that the proxy forgives by default, auth.jwt[].leeway
_SOON: Final = Patience(silence=15.0, whole=15.0)


@dataclass(frozen=True, slots=True)
class Clock:
    """Compares the clocks; *token* is looked into, not verified, if it is a JWT."""

    token: str = ""
    name: str = "clock"

    def __repr__(self) -> str:
        return "Clock()"

    @property
    def seconds(self) -> float:
        return 0.2

    async def run(self, desk: Desk) -> Finding:
        before = desk.wall()
        seen = await desk.stream(desk.ask({"count": 1}), _SOON)
        after = desk.wall()
        told = seen.told.get("unix_ms")
        if not isinstance(told, int | float):
            return Finding(probe=self.name, ok=None, said="the proxy does not say what time it is")
        ahead, doubt = told / 1000 - (before + after) / 2, (after - before) / 2
        token = of_token(claims(self.token), after + ahead)
        agree = abs(ahead) - doubt < LEEWAY
        said = (
            f"the proxy's clock is {duration(abs(ahead))} {'ahead of' if ahead >= 0 else 'behind'} this one (± {duration(doubt)})"
        )
        facts = {"ahead_ms": round(ahead * 1000, 1), "doubt_ms": round(doubt * 1000, 1)}
        return Finding(probe=self.name, ok=agree and token.ok, said="; ".join(filter(None, [said, token.said])), facts=facts)


@dataclass(frozen=True, slots=True)
class Validity:
    """Whether a token is in its time."""

    ok: bool
    said: str


def of_token(claim: Mapping[str, Any], now: float) -> Validity:
    """Say whether a token with these claims is valid *now*, in seconds since the epoch; nothing is said of what is no token."""
    begins = max((claim[name] for name in ("nbf", "iat") if isinstance(claim.get(name), int | float)), default=None)
    ends = claim.get("exp")
    if begins is not None and begins > now + LEEWAY:
        return Validity(ok=False, said=f"the token becomes valid in {duration(begins - now)} only")
    if not isinstance(ends, int | float):
        return Validity(ok=True, said="")
    if ends < now - LEEWAY:
        return Validity(ok=False, said=f"the token expired {duration(now - ends)} ago")
    return Validity(ok=True, said=f"the token is valid for another {duration(max(0.0, ends - now))}")


def claims(token: str) -> Mapping[str, Any]:
    """Return what a JWT claims, unverified; nothing where it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        value = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return value if isinstance(value, dict) else {}
