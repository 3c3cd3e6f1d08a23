"""Decides after a failed attempt whether another one follows, at which target, and after which wait.

Each target once, in order, without waiting; then again from the first, with backoff, while attempts, budget and
deadlines allow. What may never be repeated is settled before anything else is weighed.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from proxy import settings
from proxy.errors import (
    ProxyError,
    Retry,
    Untranslatable,
    UpstreamBusy,
    UpstreamCredentials,
    UpstreamRefused,
    UpstreamTlsFailed,
)

LONGEST_HINT: Final = 86_400.0  # a hint beyond a day is capped: it says "not now" just as well
_LONGEST_VALUE: Final = 64
_SEARCHED_BODY: Final = 64 * 1024
_GREATEST_EXPONENT: Final = 30

_NUMBER: Final = re.compile(rb"[+-]?\d{1,20}(?:\.\d{0,20})?")
_SPAN: Final = re.compile(rb"(\d{1,12}(?:\.\d{1,12})?)(ms|us|d|h|m|s)")
_SPAN_SECONDS: Final = {b"us": 1e-6, b"ms": 1e-3, b"s": 1.0, b"m": 60.0, b"h": 3600.0, b"d": 86_400.0}
_RETRY_DELAY: Final = re.compile(rb'"retryDelay"\s{0,8}:\s{0,8}"(-?\d{1,12}(?:\.\d{1,12})?)s"')


class GiveUp(enum.Enum):
    """Why no attempt follows."""

    EVENT_RELAYED = "event_relayed"
    NOT_RETRYABLE = "not_retryable"
    BODY_NOT_KEPT = "body_not_kept"
    ATTEMPTS = "attempts"
    NO_TARGET = "no_target"  # every target was tried, and none of them may be tried again
    BUDGET = "budget"
    DEADLINE = "deadline"
    RETRY_AFTER = "retry_after"  # the upstream asked for a longer wait than the proxy takes on itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One attempt's place in the order of attempts. Start with `Position()`; go on with `Decision.next`."""

    target: int = 0  # index of the candidate
    attempts: int = 1  # made so far, this one included
    repeats: int = 0  # how many of them went to a target for a further time
    barred: frozenset[int] = frozenset()  # targets that are not tried again
    held: Mapping[int, float] = field(default_factory=dict)  # target → not before this time (its Retry-After)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What counts at the moment of a failure. Times are absolute, of the loop's clock."""

    position: Position  # of the attempt that failed
    budget_free: tuple[bool, ...]  # for each candidate in order: may its upstream take one more repeat now
    now: float
    deadline: float  # of all attempts together: first token for a stream, whole answer otherwise
    commit_at: float | None  # start + commit_after while nothing was sent, stream or not; None once committed
    event_relayed: bool  # a byte of an upstream event went to the client
    replayable: bool  # the whole request body is in memory and at most `retry.max_body`
    draw: float  # uniform in [0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Either the `next` attempt's position, to be taken after `wait` seconds, or why there is none."""

    next: Position | None = None
    wait: float = 0.0
    gave_up: GiveUp | None = None
    reason: str = ""  # of the failure that is retried; label of `llm_proxy_retries_total`


class Budget:
    """How many repeats one upstream takes at the same time: a share of its active requests, and never less than a floor.

    Only repeats need a place. The first attempt at another target is a request like any other over there.
    """

    __slots__ = ("_floor", "_ratio", "active", "repeats")

    def __init__(self, rules: settings.Retry) -> None:
        self._ratio = rules.budget_ratio
        self._floor = rules.budget_floor
        self.active = 0
        self.repeats = 0

    def __repr__(self) -> str:
        return f"<Budget active={self.active} repeats={self.repeats}>"

    @property
    def free(self) -> bool:
        """Whether one more repeat has a place."""
        return self.repeats < max(self._floor, int(self._ratio * self.active))

    def enter(self) -> None:
        """Count an attempt at this upstream, of whatever sort."""
        self.active += 1

    def leave(self) -> None:
        """Count the end of an attempt."""
        self.active -= 1

    def take(self) -> bool:
        """Take a place for a repeat; False if there is none. Whoever took one gives it back."""
        if not self.free:
            return False
        self.repeats += 1
        return True

    def give_back(self) -> None:
        """Return a place."""
        self.repeats -= 1


class Policy:
    """The retry rules, as configured."""

    __slots__ = ("_rules",)

    def __init__(self, rules: settings.Retry) -> None:
        self._rules = rules

    def decide(self, failure: ProxyError, situation: Situation) -> Decision:
        """Return what follows *failure*. Never waits up to the deadline, never repeats what was barred."""
        gave_up = self._ruled_out(failure, situation)
        if gave_up is not None:
            return Decision(gave_up=gave_up)
        position = _noted(failure, situation)
        if _untried(position, len(situation.budget_free)):
            return Decision(next=replace(position, target=position.target + 1), reason=_reason(failure))
        return self._repeat(position, situation, _reason(failure))

    def another_target_left(self, position: Position, targets: int, *, replayable: bool) -> bool:
        """Tell whether this attempt can be cut short (`attempt_timeout`), because a fresh target would follow it."""
        return replayable and _untried(position, targets) and position.attempts < self._rules.attempts

    def should_tell_client_not_to_retry(self, failure: ProxyError, gave_up: GiveUp) -> bool:
        """Tell whether the final answer carries `x-should-retry: false`.

        It does once the proxy's own attempts are used up, so that a client's SDK does not multiply them. It does not
        where the client's own wait is right (a rate limit or an overload with a Retry-After), where the proxy made
        no use of its attempts, or where the upstream's answer is passed on as it is.
        """
        status = failure.upstream_status if isinstance(failure, UpstreamRefused) else failure.status
        if self._rules.attempts <= 1 or isinstance(failure, UpstreamBusy) or (status in (429, 503) and failure.retry_after):
            return False
        return gave_up in (GiveUp.ATTEMPTS, GiveUp.NO_TARGET, GiveUp.BUDGET, GiveUp.DEADLINE)

    def _ruled_out(self, failure: ProxyError, situation: Situation) -> GiveUp | None:
        if situation.event_relayed:
            return GiveUp.EVENT_RELAYED
        if not _retryable(failure):
            return GiveUp.NOT_RETRYABLE
        if not situation.replayable and failure.retry is not Retry.SAFE:
            return GiveUp.BODY_NOT_KEPT
        if situation.position.attempts >= self._rules.attempts:
            return GiveUp.ATTEMPTS
        return GiveUp.DEADLINE if situation.now >= situation.deadline else None

    def _repeat(self, position: Position, situation: Situation, reason: str) -> Decision:
        backoff = situation.draw * self._longest_backoff(position.repeats)
        targets = len(situation.budget_free)
        gave_up = None
        for step in range(1, targets + 1):
            target = (position.target + step) % targets
            if target in position.barred:
                continue
            hold = position.held.get(target, situation.now) - situation.now
            refused = self._refused(target, hold, backoff, situation)
            if refused is None:
                position = replace(position, target=target, repeats=position.repeats + 1)
                return Decision(next=position, wait=max(hold, backoff), reason=reason)
            gave_up = gave_up or refused
        return Decision(gave_up=gave_up or GiveUp.NO_TARGET)

    def _refused(self, target: int, hold: float, backoff: float, situation: Situation) -> GiveUp | None:
        longest = min(self._rules.honour_retry_after, situation.deadline - situation.now)
        if situation.commit_at is not None:
            longest = min(longest, situation.commit_at - situation.now)
        if hold > 0 and hold > longest:
            return GiveUp.RETRY_AFTER
        if situation.now + max(hold, backoff) >= situation.deadline:
            return GiveUp.DEADLINE
        return None if situation.budget_free[target] else GiveUp.BUDGET

    def _longest_backoff(self, repeats: int) -> float:
        rules = self._rules
        return min(rules.backoff_cap, rules.backoff_base * 2.0 ** min(repeats, _GREATEST_EXPONENT))


def parse_retry_after(headers: Mapping[bytes, bytes], body: bytes, wall: float) -> float | None:
    """Return in how many seconds an upstream wants to be asked again; None if it does not say so intelligibly.

    *headers* have lower-case names; *wall* is seconds since the epoch. What is past is 0, what is absurd is a day.
    """
    found = _milliseconds(headers)
    if found is None:
        found = _seconds_or_date(headers.get(b"retry-after", b""), wall)
    if found is None:
        found = _delay_in_body(body)
    if found is None:
        found = _reset_of_limit_hit(headers, wall)
    return None if found is None else min(max(found, 0.0), LONGEST_HINT)


def _untried(position: Position, targets: int) -> bool:
    return position.repeats == 0 and position.target + 1 < targets


def _retryable(failure: ProxyError) -> bool:
    if isinstance(failure, UpstreamRefused) and not failure.retryable:
        return _spent(failure)
    return failure.retry is not Retry.NEVER


def _spent(failure: ProxyError) -> bool:
    return isinstance(failure, UpstreamRefused) and failure.reason == "spend_limit"


def _reason(failure: ProxyError) -> str:
    return failure.reason if isinstance(failure, UpstreamRefused) else failure.code


def _noted(failure: ProxyError, situation: Situation) -> Position:
    """Return the next attempt's position but for its target: what the failed one must be spared is written down."""
    position = situation.position
    barred, held = position.barred, position.held
    if _spent(failure) or isinstance(failure, (Untranslatable, UpstreamCredentials, UpstreamBusy, UpstreamTlsFailed)):
        barred |= {position.target}
    if failure.retry_after is not None:
        held = {**held, position.target: situation.now + failure.retry_after}
    return replace(position, attempts=position.attempts + 1, barred=barred, held=held)


def _number(text: bytes) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _milliseconds(headers: Mapping[bytes, bytes]) -> float | None:
    for name in (b"retry-after-ms", b"x-amz-retry-after"):
        found = _number(headers.get(name, b"").strip())
        if found is not None:
            return found / 1000
    return None


def _seconds_or_date(value: bytes, wall: float) -> float | None:
    """Read a Retry-After (RFC 9110 10.2.3), fractions allowed."""
    text = value.strip()
    found = _number(text)
    if found is not None or not 0 < len(text) <= _LONGEST_VALUE:
        return found
    try:
        date = parsedate_to_datetime(text.decode("ascii"))
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - wall
    except (ValueError, TypeError, LookupError, ArithmeticError):
        return None


def _delay_in_body(body: bytes) -> float | None:
    """Find the `retryDelay` of a google.rpc.RetryInfo, as in `"17s"`."""
    at = body.find(b'"retryDelay"', 0, _SEARCHED_BODY)
    found = _RETRY_DELAY.match(body, at) if at >= 0 else None
    return float(found[1]) if found else None


def _reset_of_limit_hit(headers: Mapping[bytes, bytes], wall: float) -> float | None:
    """Return the longest reset among the limits of which nothing remains."""
    found: list[float] = []
    for name, value in headers.items():
        if name.startswith(b"x-ratelimit-reset-"):
            remaining = b"x-ratelimit-remaining-" + name[len(b"x-ratelimit-reset-") :]
            reset = _duration(value)
        elif name.startswith(b"anthropic-") and name.endswith(b"-reset"):
            remaining = name[: -len(b"reset")] + b"remaining"
            reset = _instant(value, wall)
        else:
            continue
        if reset is not None and headers.get(remaining, b"").strip() == b"0":
            found.append(reset)
    return max(found, default=None)


def _duration(value: bytes) -> float | None:
    """Read a duration such as `1m30.5s` or `120ms`."""
    text = value.strip()
    if not 0 < len(text) <= _LONGEST_VALUE:
        return None
    total, at = 0.0, 0
    while at < len(text):
        span = _SPAN.match(text, at)
        if span is None:
            return None
        total += float(span[1]) * _SPAN_SECONDS[span[2]]
        at = span.end()
    return total


def _instant(value: bytes, wall: float) -> float | None:
    """Read an RFC 3339 time as seconds from now."""
    if len(value) > _LONGEST_VALUE:
        return None
    try:
        instant = datetime.fromisoformat(value.strip().decode("ascii"))
        return instant.timestamp() - wall if instant.tzinfo else None
    except (ValueError, OverflowError):
        return None
