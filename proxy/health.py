"""Decides which upstreams get requests, from the verdicts on their latest attempts.

One circuit per upstream:

    closed     everything passes; so many failures in a row open it
    open       other targets are preferred until its time is over, then it is half-open
    half-open  exactly one attempt, the probe, is let through: its success closes the circuit, its failure opens it again

Apart from the circuit, an upstream whose rate limit was hit is *cooling*: its host is well, but other targets go first.
Whatever the state, a request that has no other target is let through. Only attempts that began since the circuit last
opened can close it, so that a long stream from before an outage does not declare the outage over.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proxy import settings
from proxy.errors import (
    ProxyError,
    UpstreamBusy,
    UpstreamCredentials,
    UpstreamError,
    UpstreamErrorEvent,
    UpstreamRefused,
    UpstreamUnexpected,
)

SPENT_FOR: Final = 300.0  # a spend limit is lifted by people, not by seconds
LONGEST_COOLING: Final = 60.0  # a rate limit may concern one model only, the cooling concerns the whole upstream


class State(enum.IntEnum):
    """A circuit's state; the numbers are the values of `llm_proxy_circuit_state`."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Verdict(enum.Enum):
    """What an attempt says about its upstream."""

    SUCCESS = "success"  # it answered; a 4xx is an answer
    FAILURE = "failure"  # no answer, a broken one, or a 5xx
    COOLING = "cooling"  # a rate limit: the host is well, the account is to wait
    SPENT = "spent"  # a spend limit: no use for minutes
    NOTHING = "nothing"  # the client left, or the fault was elsewhere


_SUCCESS: Final = Verdict.SUCCESS  # to name a member of an enumeration is a slow look-up
_COOLING: Final = Verdict.COOLING


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """Leave to attempt one upstream. Every permit is handed back with at least one verdict."""

    upstream: str
    generation: int  # how often the circuit had opened before
    probe: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitView:
    """One upstream's state at a moment, for the admin page; times are seconds left."""

    state: State
    failures: int
    probing: bool
    open_for: float
    cooling_for: float


class Circuit:
    """The three states of one upstream."""

    __slots__ = (
        "_cooling_until",
        "_failures",
        "_generation",
        "_open_until",
        "_passing",
        "_probe",
        "_rules",
        "_state",
        "_well",
        "upstream",
    )

    def __init__(self, upstream: str, rules: settings.Circuit) -> None:
        self.upstream = upstream
        self._rules = rules
        self._state = State.CLOSED
        self._well = True  # closed, and no failure counted: nothing needs to be looked at
        self._failures = 0
        self._generation = 0
        self._open_until = 0.0
        self._cooling_until = 0.0
        self._probe: Permit | None = None
        self._passing = Permit(upstream, 0, probe=False)

    def __repr__(self) -> str:
        return f"<Circuit {self.upstream} {self._state.name.lower()} failures={self._failures} probing={self._probe is not None}>"

    def usable(self, now: float) -> bool:
        """Tell whether a new request should count on this upstream."""
        if now < self._cooling_until:
            return False
        state = self.state(now)
        return state is State.CLOSED or (state is State.HALF_OPEN and self._probe is None)

    def state(self, now: float) -> State:
        """Return the state at *now*: an open circuit becomes half-open when its time is over."""
        if self._state is State.OPEN and now >= self._open_until:
            self._state = State.HALF_OPEN
        return self._state

    def admit(self, now: float, *, only: bool) -> Permit | None:
        """Return leave for one attempt; None while the circuit says no, unless this is the *only* target."""
        if self._well:
            return self._passing
        state = self.state(now)
        if state is State.HALF_OPEN and self._probe is None:
            self._probe = Permit(self.upstream, self._generation, probe=True)
            return self._probe
        return self._passing if only or state is State.CLOSED else None

    def report(self, permit: Permit, verdict: Verdict, now: float) -> None:
        """Take the verdict on an attempt. COOLING counts as an answer here; `cool` sets its time."""
        if self._well and verdict is _SUCCESS:
            return
        was_probe = permit is self._probe
        if was_probe:
            self._probe = None
        if verdict is Verdict.SPENT:
            self._open(now, SPENT_FOR)
        elif permit.generation != self._generation or verdict is Verdict.NOTHING:
            return
        elif verdict is Verdict.FAILURE:
            self._failed(now, was_probe=was_probe)
        else:
            self._close()

    def cool(self, until: float) -> None:
        """Prefer other targets until then; the circuit's state stays."""
        self._cooling_until = max(self._cooling_until, until)

    def view(self, now: float) -> CircuitView:
        """Return what an operator wants to see."""
        state = self.state(now)
        return CircuitView(
            state=state,
            failures=self._failures,
            probing=self._probe is not None,
            open_for=self._open_until - now if state is State.OPEN else 0.0,
            cooling_for=max(0.0, self._cooling_until - now),
        )

    def _failed(self, now: float, *, was_probe: bool) -> None:
        if was_probe:
            self._open(now, self._rules.open_for)
        elif self._state is State.CLOSED:
            self._well = False
            self._failures += 1
            if self._failures >= self._rules.failures:
                self._open(now, self._rules.open_for)

    def _open(self, now: float, duration: float) -> None:
        self._open_until = now + duration
        self._state = State.OPEN
        self._well = False
        self._failures = 0
        self._probe = None
        self._generation += 1
        self._passing = Permit(self.upstream, self._generation, probe=False)

    def _close(self) -> None:
        self._state = State.CLOSED
        self._well = True
        self._failures = 0
        self._probe = None


class Health:
    """The circuits of all upstreams. Each process has its own."""

    __slots__ = ("_circuits",)

    def __init__(self, upstreams: Iterable[str], rules: settings.Circuit) -> None:
        self._circuits = {name: Circuit(name, rules) for name in upstreams}

    def usable(self, upstream: str, now: float) -> bool:
        """Tell whether a new request should count on *upstream*; takes no permit."""
        return self._circuits[upstream].usable(now)

    def admit(self, upstream: str, now: float, *, only: bool = False) -> Permit | None:
        """Return leave for one attempt; None while another probe runs or the circuit is open.

        With *only*, for a request that has no other target, there is always leave. The caller reports on each permit,
        also when it is cancelled (`NOTHING`): a probe that is never reported would keep the circuit half-open.
        """
        return self._circuits[upstream].admit(now, only=only)

    def report(self, permit: Permit, verdict: Verdict, now: float, retry_after: float | None = None) -> None:
        """Take the verdict on an attempt; *retry_after* seconds, if known, are how long a COOLING upstream cools.

        May be called again for the same permit: the first content of a stream is a success, so that a probe does not
        wait for the end of a long answer, and a break later on is one more failure.
        """
        circuit = self._circuits[permit.upstream]
        circuit.report(permit, verdict, now)
        if verdict is _COOLING and retry_after is not None:
            circuit.cool(now + min(retry_after, LONGEST_COOLING))

    def snapshot(self, now: float) -> dict[str, CircuitView]:
        """Return every upstream's state, in configured order."""
        return {name: circuit.view(now) for name, circuit in self._circuits.items()}


_NOT_THE_HOST: Final = (UpstreamBusy, UpstreamErrorEvent, UpstreamUnexpected)


def verdict_of(failure: ProxyError | None) -> Verdict:
    """Return what an attempt's end says about its upstream; None is a good end.

    An error inside a good answer says nothing: one client's odd prompts must not take an upstream from the others.
    """
    if failure is None or isinstance(failure, UpstreamCredentials):
        return Verdict.SUCCESS
    if isinstance(failure, UpstreamRefused):
        return _verdict_of_refusal(failure)
    if not isinstance(failure, UpstreamError) or isinstance(failure, _NOT_THE_HOST):
        return Verdict.NOTHING
    return Verdict.FAILURE


def _verdict_of_refusal(refusal: UpstreamRefused) -> Verdict:
    if refusal.reason == "spend_limit":
        return Verdict.SPENT
    if refusal.reason == "rate_limited" or refusal.upstream_status == 429:
        return Verdict.COOLING
    return Verdict.FAILURE if refusal.upstream_status >= 500 else Verdict.SUCCESS
