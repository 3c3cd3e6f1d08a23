from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import errors, settings
from proxy.retry import LONGEST_HINT, Budget, Decision, GiveUp, Policy, Position, Situation, parse_retry_after

RULES = settings.Retry()
POLICY = Policy(RULES)
WALL = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC).timestamp()

FIRST_OF_TWO = Situation(
    position=Position(),
    budget_free=(True, True),
    now=100.0,
    deadline=400.0,
    commit_at=105.0,
    event_relayed=False,
    replayable=True,
    draw=0.5,
)
LAST_OF_TWO = replace(FIRST_OF_TWO, position=Position(target=1, attempts=2))
ONE_TARGET = replace(FIRST_OF_TWO, budget_free=(True,))

CONNECT = errors.UpstreamConnectFailed()
OVERLOADED = errors.UpstreamRefused(503, "overloaded", retryable=True)
SPENT = errors.UpstreamRefused(429, "spend_limit", retryable=False)
BAD_REQUEST = errors.UpstreamRefused(400, "refused", retryable=False)


def rate_limited(retry_after: float | None) -> errors.UpstreamRefused:
    return errors.UpstreamRefused(429, "rate_limited", retryable=True, retry_after=retry_after)


def target_of(decision: Decision) -> int | None:
    return None if decision.next is None else decision.next.target


@pytest.mark.parametrize(
    "failure",
    [
        CONNECT,
        OVERLOADED,
        rate_limited(7.0),
        SPENT,
        errors.UpstreamDnsFailed(),
        errors.UpstreamTlsFailed(),
        errors.UpstreamBusy(),
        errors.UpstreamClosed(),
        errors.UpstreamReset(),
        errors.UpstreamTimeout(),
        errors.UpstreamErrorEvent(),
        errors.UpstreamCredentials(),
    ],
    ids=lambda failure: failure.code,
)
def test_next_target_is_tried_at_once(failure: errors.ProxyError) -> None:
    """P17, P18: whatever the first target's trouble, and however long it wants to be left alone."""
    decision = POLICY.decide(failure, FIRST_OF_TWO)

    assert target_of(decision) == 1
    assert decision.wait == 0.0
    assert decision.gave_up is None


@pytest.mark.parametrize(
    "failure",
    [
        BAD_REQUEST,
        errors.UpstreamRefused(404, "refused", retryable=False),
        errors.ClientStalled(),
        errors.InternalError(),
    ],
    ids=str,
)
def test_refusal_that_another_target_would_repeat_is_passed_on(failure: errors.ProxyError) -> None:
    """P18: a 400 is the client's own; the second target never hears of it."""
    assert POLICY.decide(failure, FIRST_OF_TWO) == Decision(gave_up=GiveUp.NOT_RETRYABLE)


@pytest.mark.parametrize("failure", [CONNECT, OVERLOADED, errors.UpstreamReset()], ids=str)
def test_nothing_follows_a_relayed_event(failure: errors.ProxyError) -> None:
    """P19."""
    assert POLICY.decide(failure, replace(FIRST_OF_TWO, event_relayed=True)).gave_up is GiveUp.EVENT_RELAYED


@pytest.mark.parametrize(
    ("failure", "gave_up"),
    [(CONNECT, None), (errors.UpstreamReset(), GiveUp.BODY_NOT_KEPT), (OVERLOADED, GiveUp.BODY_NOT_KEPT)],
    ids=str,
)
def test_body_that_is_not_kept_is_sent_again_only_if_no_byte_of_it_went_out(
    failure: errors.ProxyError, gave_up: GiveUp | None
) -> None:
    assert POLICY.decide(failure, replace(FIRST_OF_TWO, replayable=False)).gave_up is gave_up


def test_second_round_begins_with_the_first_target_after_a_backoff() -> None:
    decision = POLICY.decide(OVERLOADED, LAST_OF_TWO)

    assert target_of(decision) == 0
    assert decision.wait == 0.5 * RULES.backoff_base
    assert decision.next is not None
    assert (decision.next.attempts, decision.next.repeats) == (3, 1)


def test_attempts_are_counted_over_all_targets() -> None:
    third = replace(LAST_OF_TWO, position=Position(target=0, attempts=3, repeats=1))

    assert POLICY.decide(OVERLOADED, third).gave_up is GiveUp.ATTEMPTS


def test_attempts_end_the_first_round_too() -> None:
    policy = Policy(settings.Retry(attempts=2))

    assert policy.decide(CONNECT, replace(LAST_OF_TWO, budget_free=(True,) * 5)).gave_up is GiveUp.ATTEMPTS


@pytest.mark.parametrize(("repeats", "longest"), [(0, 0.25), (1, 0.5), (2, 1.0), (5, 8.0), (4000, 8.0)])
def test_backoff_is_full_jitter_under_a_doubling_cap(repeats: int, longest: float) -> None:
    policy = Policy(settings.Retry(attempts=5000))
    situation = replace(ONE_TARGET, position=Position(attempts=repeats + 1, repeats=repeats))

    assert policy.decide(OVERLOADED, replace(situation, draw=0.0)).wait == 0.0
    assert policy.decide(OVERLOADED, replace(situation, draw=0.75)).wait == pytest.approx(0.75 * longest)


def test_retry_after_is_a_minimum() -> None:
    decision = POLICY.decide(rate_limited(3.0), ONE_TARGET)

    assert decision.wait == 3.0


def test_backoff_longer_than_retry_after_stays() -> None:
    late = replace(ONE_TARGET, position=Position(attempts=2, repeats=4))

    assert POLICY.decide(rate_limited(0.1), late).wait == 0.5 * RULES.backoff_base * 2**4


def test_retry_after_of_both_targets_beyond_the_commit_is_passed_on() -> None:
    """P20."""
    first = POLICY.decide(rate_limited(7.0), FIRST_OF_TWO)
    assert first.next is not None

    second = POLICY.decide(rate_limited(7.0), replace(FIRST_OF_TWO, position=first.next))

    assert second == Decision(gave_up=GiveUp.RETRY_AFTER)


@pytest.mark.parametrize(
    ("retry_after", "commit_at", "waits"),
    [(4.9, 105.0, True), (5.1, 105.0, False), (5.1, None, True), (30.0, None, True), (30.1, None, False), (0.1, 99.0, False)],
)
def test_a_client_that_can_still_be_told_is_not_kept_waiting_for_a_retry_after(
    retry_after: float, commit_at: float | None, waits: bool
) -> None:
    """Up to commit_after before the commit, up to honour_retry_after behind keepalives."""
    decision = POLICY.decide(rate_limited(retry_after), replace(ONE_TARGET, commit_at=commit_at))

    assert decision.gave_up is (None if waits else GiveUp.RETRY_AFTER)


def test_plain_backoff_may_reach_past_the_commit() -> None:
    assert POLICY.decide(OVERLOADED, replace(ONE_TARGET, commit_at=100.0)).gave_up is None


def test_retry_after_beyond_the_deadline_is_passed_on() -> None:
    situation = replace(ONE_TARGET, commit_at=None, deadline=107.0)

    assert POLICY.decide(rate_limited(7.0), situation).gave_up is not None
    assert POLICY.decide(rate_limited(8.0), situation).gave_up is GiveUp.RETRY_AFTER


def test_backoff_that_ends_after_the_deadline_is_not_begun() -> None:
    assert POLICY.decide(OVERLOADED, replace(ONE_TARGET, deadline=100.1)).gave_up is GiveUp.DEADLINE


def test_no_fresh_target_is_tried_after_the_deadline() -> None:
    assert POLICY.decide(CONNECT, replace(FIRST_OF_TWO, deadline=100.0)).gave_up is GiveUp.DEADLINE


def test_each_target_has_its_own_retry_after() -> None:
    """What the second target says does not hold the first one up, what the first one said does."""
    after_first = POLICY.decide(rate_limited(2.0), FIRST_OF_TWO).next
    assert after_first is not None

    decision = POLICY.decide(rate_limited(60.0), replace(FIRST_OF_TWO, position=after_first, now=101.0))

    assert target_of(decision) == 0
    assert decision.wait == 1.0


def test_target_that_wants_to_be_left_alone_for_long_is_passed_over_in_the_second_round() -> None:
    after_first = POLICY.decide(rate_limited(60.0), FIRST_OF_TWO).next
    assert after_first is not None

    decision = POLICY.decide(OVERLOADED, replace(FIRST_OF_TWO, position=after_first))

    assert target_of(decision) == 1


@pytest.mark.parametrize(
    "failure", [SPENT, errors.UpstreamCredentials(), errors.UpstreamBusy(), errors.UpstreamTlsFailed()], ids=str
)
def test_target_without_money_key_room_or_good_certificate_is_not_tried_again(failure: errors.ProxyError) -> None:
    after_first = POLICY.decide(failure, FIRST_OF_TWO).next
    assert after_first is not None

    second_round = POLICY.decide(OVERLOADED, replace(FIRST_OF_TWO, position=after_first))

    assert target_of(second_round) == 1
    assert POLICY.decide(failure, ONE_TARGET).gave_up is GiveUp.NO_TARGET


def test_exhausted_budget_forbids_repeats_but_not_a_first_attempt_elsewhere() -> None:
    assert POLICY.decide(OVERLOADED, replace(LAST_OF_TWO, budget_free=(False, False))).gave_up is GiveUp.BUDGET
    assert target_of(POLICY.decide(OVERLOADED, replace(FIRST_OF_TWO, budget_free=(False, False)))) == 1


@pytest.mark.parametrize(("failure", "reason"), [(CONNECT, "upstream_connect_failed"), (OVERLOADED, "overloaded")], ids=str)
def test_retry_names_its_reason(failure: errors.ProxyError, reason: str) -> None:
    assert POLICY.decide(failure, FIRST_OF_TWO).reason == reason
    assert POLICY.decide(failure, LAST_OF_TWO).reason == reason


@pytest.mark.parametrize(
    ("position", "replayable", "expected"),
    [
        (Position(), True, True),
        (Position(), False, False),
        (Position(target=1, attempts=2), True, False),
        (Position(target=0, attempts=3, repeats=1), True, False),
    ],
)
def test_attempt_is_cut_short_only_while_a_fresh_target_would_follow(
    position: Position, replayable: bool, expected: bool
) -> None:
    assert POLICY.another_target_left(position, 2, replayable=replayable) is expected
    assert not Policy(settings.Retry(attempts=1)).another_target_left(position, 2, replayable=replayable)


FAILURES = st.one_of(
    st.sampled_from([CONNECT, OVERLOADED, SPENT, BAD_REQUEST, errors.UpstreamReset(), errors.UpstreamBusy()]),
    st.floats(0.0, 100.0).map(rate_limited),
)


@given(
    failures=st.lists(FAILURES, min_size=12, max_size=12),
    draws=st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=12, max_size=12),
    budget_free=st.lists(st.booleans(), min_size=1, max_size=4).map(tuple),
    attempts=st.integers(1, 10),
    deadline=st.floats(0.0, 60.0),
    commit_at=st.none() | st.floats(0.0, 10.0),
)
def test_walk_through_the_targets_keeps_every_rule(
    failures: list[errors.ProxyError],
    draws: list[float],
    budget_free: tuple[bool, ...],
    attempts: int,
    deadline: float,
    commit_at: float | None,
) -> None:
    policy = Policy(settings.Retry(attempts=attempts))
    position, now, tried = Position(), 0.0, [0]
    not_before: dict[int, float] = {}

    for failure, draw in zip(failures, draws, strict=True):
        situation = Situation(
            position=position,
            budget_free=budget_free,
            now=now,
            deadline=deadline,
            commit_at=commit_at,
            event_relayed=False,
            replayable=True,
            draw=draw,
        )
        if failure.retry_after is not None:
            not_before[position.target] = now + failure.retry_after
        decision = policy.decide(failure, situation)
        assert (decision.next is None) == (decision.gave_up is not None)
        if decision.next is None:
            break
        position = decision.next
        now += decision.wait
        assert now < deadline
        assert now >= not_before.get(position.target, 0.0) - 1e-9
        assert position.target not in position.barred
        assert position.repeats == 0 or budget_free[position.target]
        tried.append(position.target)

    fresh = min(len(tried), len(budget_free))
    assert tried[:fresh] == list(range(fresh))
    assert len(tried) <= attempts
    assert position.attempts == len(tried)


@pytest.mark.parametrize(("active", "places"), [(0, 3), (15, 3), (19, 3), (20, 4), (1000, 200)])
def test_budget_is_a_share_of_active_requests_and_never_below_the_floor(active: int, places: int) -> None:
    budget = Budget(settings.Retry(budget_ratio=0.2, budget_floor=3))
    for _ in range(active):
        budget.enter()

    taken = sum(budget.take() for _ in range(active + 10))

    assert taken == places
    assert not budget.free


def test_place_in_the_budget_is_free_again_after_it_is_given_back() -> None:
    budget = Budget(settings.Retry(budget_ratio=0.0, budget_floor=1))
    assert budget.take()
    refused = budget.take()

    budget.give_back()

    assert not refused
    assert budget.take()


def test_budget_shrinks_with_the_requests() -> None:
    budget = Budget(settings.Retry(budget_ratio=1.0, budget_floor=0))
    budget.enter()
    assert budget.free

    budget.leave()

    assert not budget.free


@pytest.mark.parametrize("gave_up", [GiveUp.ATTEMPTS, GiveUp.NO_TARGET, GiveUp.BUDGET, GiveUp.DEADLINE])
@pytest.mark.parametrize("failure", [CONNECT, OVERLOADED, SPENT, rate_limited(None)], ids=str)
def test_client_is_told_not_to_retry_after_the_proxys_own_attempts(failure: errors.ProxyError, gave_up: GiveUp) -> None:
    assert POLICY.should_tell_client_not_to_retry(failure, gave_up)


@pytest.mark.parametrize("gave_up", list(GiveUp))
@pytest.mark.parametrize(
    "failure",
    [rate_limited(7.0), errors.UpstreamRefused(503, "overloaded", retryable=True, retry_after=2.0)],
    ids=str,
)
def test_client_may_wait_out_a_retry_after_that_the_proxy_did_not(failure: errors.ProxyError, gave_up: GiveUp) -> None:
    """P20: an SDK that is told 429 and Retry-After does the right thing by itself."""
    assert not POLICY.should_tell_client_not_to_retry(failure, gave_up)


@pytest.mark.parametrize("gave_up", [GiveUp.NOT_RETRYABLE, GiveUp.BODY_NOT_KEPT, GiveUp.RETRY_AFTER, GiveUp.EVENT_RELAYED])
def test_client_decides_itself_where_the_proxy_made_no_use_of_its_attempts(gave_up: GiveUp) -> None:
    assert not POLICY.should_tell_client_not_to_retry(OVERLOADED, gave_up)


def test_client_decides_itself_where_the_proxy_does_not_retry_or_has_no_room() -> None:
    alone = Policy(settings.Retry(attempts=1))

    assert not alone.should_tell_client_not_to_retry(OVERLOADED, GiveUp.ATTEMPTS)
    assert not POLICY.should_tell_client_not_to_retry(errors.UpstreamBusy(), GiveUp.NO_TARGET)


def http_date(seconds_from_now: float) -> bytes:
    return format_datetime(datetime.fromtimestamp(WALL + seconds_from_now, UTC), usegmt=True).encode()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b" 1.5 "}, 1.5),
        ({b"retry-after": b"0"}, 0.0),
        ({b"retry-after": b"-3"}, 0.0),
        ({b"retry-after": b"99999999999999"}, LONGEST_HINT),
        ({b"retry-after": http_date(90)}, 90.0),
        ({b"retry-after": http_date(-90)}, 0.0),
        ({b"retry-after": b"Friday, 20-Nov-26 12:00:05 GMT"}, 5.0),
        ({b"retry-after": b"Fri Nov 20 12:00:05 2026"}, 5.0),
        ({b"retry-after-ms": b"250"}, 0.25),
        ({b"retry-after-ms": b"250", b"retry-after": b"1"}, 0.25),
        ({b"retry-after-ms": b"soon", b"retry-after": b"1"}, 1.0),
        ({b"x-amz-retry-after": b"1500"}, 1.5),
        ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"1m30.5s"}, 90.5),
        ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"120ms"}, 0.12),
        ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"6m0s"}, 360.0),
        ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"1h2m3s"}, 3723.0),
        (
            {
                b"x-ratelimit-remaining-tokens": b"0",
                b"x-ratelimit-reset-tokens": b"4s",
                b"x-ratelimit-remaining-requests": b"0",
                b"x-ratelimit-reset-requests": b"9s",
            },
            9.0,
        ),
        ({b"anthropic-ratelimit-tokens-remaining": b"0", b"anthropic-ratelimit-tokens-reset": b"2026-11-20T12:00:30Z"}, 30.0),
        (
            {
                b"anthropic-ratelimit-requests-remaining": b"0",
                b"anthropic-ratelimit-requests-reset": b"2026-11-20T14:00:30.5+02:00",
            },
            30.5,
        ),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[bytes, bytes], seconds: float) -> None:
    assert parse_retry_after(headers, b"", WALL) == pytest.approx(seconds)


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as context:
        context.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_date_without_a_zone_is_not_read_in_the_machines_own() -> None:
    assert parse_retry_after({b"retry-after": b"Fri Nov 20 12:00:05 2026"}, b"", WALL) == 5.0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"retry-after": b""},
        {b"retry-after": b"soon"},
        {b"retry-after": b"1_0"},
        {b"retry-after": b"nan"},
        {b"retry-after": b"inf"},
        {b"retry-after": b"\xe9\xff"},
        {b"retry-after": b"9" * 5000},
        {b"retry-after": b"Fri, 99 Nov 2026 12:00:05 GMT"},
        {b"x-ratelimit-reset-requests": b"9s"},
        {b"x-ratelimit-remaining-requests": b"12", b"x-ratelimit-reset-requests": b"9s"},
        {b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-tokens": b"9s"},
        {b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"9 parsecs"},
        {b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b" "},
        {b"anthropic-ratelimit-tokens-remaining": b"0", b"anthropic-ratelimit-tokens-reset": b"2026-11-20T12:00:30"},
        {b"anthropic-ratelimit-tokens-remaining": b"5", b"anthropic-ratelimit-tokens-reset": b"2026-11-20T12:00:30Z"},
        {b"anthropic-ratelimit-tokens-remaining": b"0", b"anthropic-ratelimit-tokens-reset": b"tomorrow"},
    ],
)
def test_what_does_not_say_when_is_ignored(headers: dict[bytes, bytes]) -> None:
    assert parse_retry_after(headers, b"", WALL) is None


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"error":{"details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"17s"}]}}', 17.0),
        (b'[{"error": {"details": [{"retryDelay" : "0.25s"}]}}]', 0.25),
        (b'{"retryDelay":"-4s"}', 0.0),
        (b'{"retryDelay":17}', None),
        (b'{"retryDelay":"soon"}', None),
        (b'{"message":"\\"retryDelay\\": \\"17s\\""}', None),
        (b" " * 100_000 + b'{"retryDelay":"17s"}', None),
    ],
)
def test_retry_delay_is_found_in_the_body_of_a_google_error(body: bytes, seconds: float | None) -> None:
    assert parse_retry_after({}, body, WALL) == seconds


HINTS = st.sampled_from(
    [
        b"retry-after",
        b"retry-after-ms",
        b"x-amz-retry-after",
        b"x-ratelimit-reset-requests",
        b"x-ratelimit-remaining-requests",
        b"anthropic-ratelimit-tokens-reset",
        b"anthropic-ratelimit-tokens-remaining",
    ]
)
VALUES = st.one_of(
    st.binary(max_size=80),
    st.just(b"0"),
    st.text("0123456789.-+:smhd TZGMTFriNov,", max_size=40).map(str.encode),
    st.datetimes().map(lambda date: date.isoformat().encode() + b"Z"),
    st.datetimes().map(lambda date: format_datetime(date.replace(tzinfo=UTC), usegmt=True).encode()),
)


@given(headers=st.dictionaries(HINTS, VALUES), body=st.binary(max_size=60).map(lambda tail: b'"retryDelay":"' + tail))
def test_no_hint_breaks_the_reader(headers: dict[bytes, bytes], body: bytes) -> None:
    found = parse_retry_after(headers, body, WALL)

    assert found is None or 0.0 <= found <= LONGEST_HINT
