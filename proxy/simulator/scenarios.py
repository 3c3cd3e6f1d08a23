"""Chooses and describes what goes wrong: a scenario by the header `X-Test-Scenario`, else by the model's name.

The header's form is `scenario[;key=value…]`; a scenario that is not known, a key that it does not take, or a value that
does not fit is a BadRequest that lists what is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.errors import BadRequest, Kind
from proxy.simulator.dialect import Failure
from proxy.simulator.reply import Shape

HEADER: Final = "X-Test-Scenario"

SCENARIOS: Final[Mapping[str, Mapping[str, Any]]] = {  # the parameters of each with their defaults
    "ok": {},
    "slow_first_token": {"delay": 8.0},
    "stall": {"after": 5, "delay": 600.0},
    "truncate": {"after": 5, "framing": "chunked"},
    "reset": {"after": 5},
    "reset_mid_event": {"after": 5},
    "rate_limit": {"retry_after": 1.0, "code": "rate_limit_exceeded"},
    "server_error": {"status": 500, "retry_after": None, "code": None},
    "timeout": {"delay": 600.0},
    "error_event_first": {"code": "server_error"},
    "error_event_late": {"after": 5, "code": "server_error"},
    "pings_only": {"interval": 1.0},
    "huge_event": {"size": 5 * 1024 * 1024},
    "split_bytes": {},
}
COMMON: Final = ("pace", "tokens")

_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0}
_SIZES: Final = {"": 1, "kib": 1024, "mib": 1024**2}
_DURATION: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(ms|s|m|)")
_SIZE: Final = re.compile(r"(\d{1,9})(kib|mib|)", re.IGNORECASE)
_LONGEST: Final = 3600.0
_LARGEST: Final = 64 * 1024**2
_FRAMINGS: Final = ("chunked", "close", "chunked-clean")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One script for one answer. Durations in seconds; `pace` None is the simulator's own."""

    name: str = "ok"
    pace: float | None = None  # between two tokens
    tokens: int | None = None  # of the answer's text
    after: int = 0  # tokens that are sent before it goes wrong
    delay: float = 0.0  # how long the silence lasts
    interval: float = 0.0  # between two pings
    framing: str = "chunked"  # chunked: the last chunk is missing; close: no framing at all; chunked-clean: nothing is missing
    size: int | None = None
    status: int = 500
    code: str | None = None
    retry_after: float | None = None

    @property
    def shape(self) -> Shape:
        """What this scenario asks of the answer's words."""
        return Shape(tokens=self.tokens, size=self.size)

    def failure(self) -> Failure:
        """Return the error that this scenario is about."""
        if self.name == "rate_limit":
            words = _NO_QUOTA if self.code == "insufficient_quota" else "Rate limit reached for requests. Please try again later."
            return Failure(status=429, kind=Kind.RATE_LIMIT, message=words, code=self.code, retry_after=self.retry_after)
        words = "The server had an error while processing your request."
        return Failure(status=self.status, kind=Kind.SERVER, message=words, code=self.code, retry_after=self.retry_after)


def choose(header: str | None, model: str) -> Scenario:
    """Return the scenario of a request; the header wins over the model's name."""
    if header is not None:
        return _from_header(header)
    found = _IN_MODEL.search(model.lower().replace("_", "-"))
    name = found[1].replace("-", "_") if found else "ok"
    return Scenario(name=name, **SCENARIOS[name])


def _from_header(header: str) -> Scenario:
    word, *pairs = (part.strip() for part in header.split(";"))
    name = word.replace("-", "_")
    if name not in SCENARIOS:
        raise BadRequest(f"This scenario is not known. There are: {', '.join(SCENARIOS)}.", param=HEADER)
    return Scenario(name=name, **{**SCENARIOS[name], **_parameters(name, pairs)})


def _parameters(name: str, pairs: list[str]) -> dict[str, Any]:
    known = (*COMMON, *SCENARIOS[name])
    read: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if key not in known or not equals or key in read:
            raise BadRequest(f"The scenario {name} takes, each once, as key=value: {', '.join(known)}.", param=HEADER)
        read[key] = _READERS[key](key, value)
    return read


def _duration(key: str, value: str) -> float:
    found = _DURATION.fullmatch(value)
    seconds = float(found[1]) * _UNITS[found[2]] if found else -1.0
    if not 0 <= seconds <= _LONGEST:
        raise BadRequest(f"`{key}` must be a duration like 0.5, 250ms, 8s or 10m, of {_LONGEST:.0f} s at most.", param=HEADER)
    return seconds


def _size(key: str, value: str) -> int:
    found = _SIZE.fullmatch(value)
    size = int(found[1]) * _SIZES[found[2].lower()] if found else 0
    if not 1 <= size <= _LARGEST:
        raise BadRequest(f"`{key}` must be a size like 5000, 64KiB or 5MiB, of {_LARGEST >> 20} MiB at most.", param=HEADER)
    return size


def _number(low: int, high: int) -> Callable[[str, str], int]:
    def read(key: str, value: str) -> int:
        number = int(value) if value.isascii() and value.isdigit() and len(value) <= len(str(high)) else low - 1
        if not low <= number <= high:
            raise BadRequest(f"`{key}` must be a whole number from {low} to {high}.", param=HEADER)
        return number

    return read


def _framing(key: str, value: str) -> str:
    if value not in _FRAMINGS:
        raise BadRequest(f"`{key}` must be one of {', '.join(_FRAMINGS)}.", param=HEADER)
    return value


def _code(key: str, value: str) -> str:
    if not re.fullmatch(r"[a-z_]{1,40}", value):
        raise BadRequest(f"`{key}` must be a word of small letters and underscores.", param=HEADER)
    return value


_NO_QUOTA: Final = "You exceeded your current quota, please check your plan and billing details."
_READERS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "pace": _duration,
    "tokens": _number(1, 100_000),
    "after": _number(0, 100_000),
    "delay": _duration,
    "interval": _duration,
    "framing": _framing,
    "size": _size,
    "status": _number(500, 599),
    "code": _code,
    "retry_after": _duration,
}
# One for each scenario, so that a client's model picker is a scenario picker.
MODELS: Final = ("demo", "demo-think", *(f"demo-{name.replace('_', '-')}" for name in SCENARIOS if name != "ok"))
# Longest first, so that reset-mid-event is not taken for reset.
_IN_MODEL: Final = re.compile(
    "-(" + "|".join(sorted((name.replace("_", "-") for name in SCENARIOS), key=len, reverse=True)) + ")(?=-|$)"
)
