from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import errors, settings
from proxy.health import LONGEST_COOLING, SPENT_FOR, Health, Permit, State, Verdict, verdict_of

RULES = settings.Circuit(failures=3, open_for=30.0)


def health() -> Health:
    return Health(["a", "b"], RULES)


def permit(of: Health, now: float, *, only: bool = False) -> Permit:
    granted = of.admit("a", now, only=only)
    assert granted is not None
    return granted


def fail(of: Health, now: float, times: int = 1) -> None:
    for _ in range(times):
        of.report(permit(of, now, only=True), Verdict.FAILURE, now)


def state(of: Health, now: float) -> State:
    return of.snapshot(now)["a"].state


def opened() -> Health:
    """Return circuits of which that of `a` opened at 0."""
    circuits = health()
    fail(circuits, 0.0, times=3)
    return circuits


def test_consecutive_failures_open_the_circuit_of_that_upstream_only() -> None:
    circuits = health()

    fail(circuits, 0.0, times=2)
    before = circuits.usable("a", 0.0)
    fail(circuits, 0.0)

    assert before
    assert not circuits.usable("a", 0.0)
    assert circuits.usable("b", 0.0)


def test_a_success_in_between_starts_the_count_anew() -> None:
    circuits = health()
    fail(circuits, 0.0, times=2)

    circuits.report(permit(circuits, 1.0), Verdict.SUCCESS, 1.0)
    fail(circuits, 2.0, times=2)

    assert state(circuits, 2.0) is State.CLOSED


@pytest.mark.parametrize(("now", "expected"), [(29.9, State.OPEN), (30.0, State.HALF_OPEN)])
def test_open_circuit_is_half_open_when_its_time_is_over(now: float, expected: State) -> None:
    circuits = opened()

    assert state(circuits, now) is expected
    assert circuits.usable("a", now) == (expected is State.HALF_OPEN)


def test_open_circuit_admits_nobody_who_has_another_target() -> None:
    circuits = opened()

    assert circuits.admit("a", 10.0) is None


def test_half_open_circuit_admits_exactly_one_probe() -> None:
    circuits = opened()

    first = permit(circuits, 30.0)

    assert first.probe
    assert circuits.admit("a", 30.0) is None
    assert not circuits.usable("a", 30.0)


def test_request_without_another_target_is_let_through_but_is_no_second_probe() -> None:
    circuits = opened()
    permit(circuits, 30.0)

    assert not permit(circuits, 30.0, only=True).probe


def test_successful_probe_closes_the_circuit() -> None:
    circuits = opened()

    circuits.report(permit(circuits, 30.0), Verdict.SUCCESS, 31.0)

    assert state(circuits, 31.0) is State.CLOSED
    assert not permit(circuits, 31.0).probe


def test_failed_probe_opens_the_circuit_again() -> None:
    circuits = opened()

    circuits.report(permit(circuits, 30.0), Verdict.FAILURE, 31.0)

    assert not circuits.usable("a", 60.9)
    assert circuits.usable("a", 61.0)


def test_client_that_leaves_while_probing_gives_the_probe_back() -> None:
    circuits = opened()

    circuits.report(permit(circuits, 30.0), Verdict.NOTHING, 31.0)

    assert state(circuits, 31.0) is State.HALF_OPEN
    assert permit(circuits, 31.0).probe


def test_probe_whose_stream_breaks_later_counts_as_one_failure() -> None:
    circuits = opened()
    probe = permit(circuits, 30.0)
    circuits.report(probe, Verdict.SUCCESS, 31.0)

    circuits.report(probe, Verdict.FAILURE, 40.0)

    assert state(circuits, 40.0) is State.CLOSED
    assert circuits.snapshot(40.0)["a"].failures == 1


def test_success_of_an_attempt_from_before_the_outage_does_not_end_it() -> None:
    circuits = health()
    early = permit(circuits, 0.0)
    fail(circuits, 1.0, times=3)

    circuits.report(early, Verdict.SUCCESS, 5.0)

    assert state(circuits, 5.0) is State.OPEN


def test_failure_of_an_attempt_from_before_the_outage_does_not_fail_the_probe() -> None:
    circuits = health()
    early = permit(circuits, 0.0)
    fail(circuits, 1.0, times=3)
    permit(circuits, 31.0)

    circuits.report(early, Verdict.FAILURE, 32.0)

    assert state(circuits, 32.0) is State.HALF_OPEN
    assert circuits.snapshot(32.0)["a"].probing


def test_last_targets_failures_while_open_do_not_put_off_the_probe() -> None:
    circuits = opened()

    fail(circuits, 29.0, times=5)

    assert circuits.usable("a", 30.0)


def test_last_targets_success_closes_the_circuit_at_once() -> None:
    circuits = opened()

    circuits.report(permit(circuits, 5.0, only=True), Verdict.SUCCESS, 6.0)

    assert state(circuits, 6.0) is State.CLOSED


def test_rate_limit_cools_the_upstream_without_opening_its_circuit() -> None:
    circuits = health()

    for _ in range(10):
        circuits.report(permit(circuits, 0.0), Verdict.COOLING, 0.0, retry_after=7.0)

    assert state(circuits, 0.0) is State.CLOSED
    assert not circuits.usable("a", 6.9)
    assert circuits.usable("a", 7.0)


def test_cooling_never_gets_shorter_and_is_capped() -> None:
    circuits = health()

    circuits.report(permit(circuits, 0.0), Verdict.COOLING, 0.0, retry_after=86_400.0)
    circuits.report(permit(circuits, 0.0), Verdict.COOLING, 0.0, retry_after=1.0)

    assert not circuits.usable("a", LONGEST_COOLING - 0.1)
    assert circuits.usable("a", LONGEST_COOLING)


def test_rate_limit_without_a_hint_cools_nothing() -> None:
    circuits = health()

    circuits.report(permit(circuits, 0.0), Verdict.COOLING, 0.0)

    assert circuits.usable("a", 0.0)


def test_rate_limited_probe_shows_that_the_host_is_well() -> None:
    circuits = opened()

    circuits.report(permit(circuits, 30.0), Verdict.COOLING, 31.0, retry_after=5.0)

    assert state(circuits, 31.0) is State.CLOSED
    assert not circuits.usable("a", 31.0)


def test_spend_limit_opens_the_circuit_for_minutes() -> None:
    circuits = health()

    circuits.report(permit(circuits, 0.0), Verdict.SPENT, 0.0)

    assert not circuits.usable("a", SPENT_FOR - 0.1)
    assert circuits.usable("a", SPENT_FOR)


def test_spend_limit_is_not_cut_short_by_a_failure_that_follows() -> None:
    circuits = health()
    circuits.report(permit(circuits, 0.0), Verdict.SPENT, 0.0)

    fail(circuits, 1.0, times=5)

    assert not circuits.usable("a", SPENT_FOR - 0.1)


def test_snapshot_says_what_an_operator_asks() -> None:
    circuits = opened()
    circuits.report(permit(circuits, 0.0, only=True), Verdict.COOLING, 0.0, retry_after=5.0)
    fail(circuits, 1.0, times=3)

    view = circuits.snapshot(11.0)

    assert list(view) == ["a", "b"]
    assert view["a"].state == 2
    assert view["a"].open_for == 20.0
    assert view["a"].cooling_for == 0.0
    assert circuits.snapshot(3.0)["a"].cooling_for == 2.0
    assert view["b"].state == 0


def test_state_numbers_are_those_of_the_metric() -> None:
    assert (State.CLOSED, State.HALF_OPEN, State.OPEN) == (0, 1, 2)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (None, Verdict.SUCCESS),
        (errors.UpstreamConnectFailed(), Verdict.FAILURE),
        (errors.UpstreamDnsFailed(), Verdict.FAILURE),
        (errors.UpstreamTlsFailed(), Verdict.FAILURE),
        (errors.UpstreamClosed(), Verdict.FAILURE),
        (errors.UpstreamReset(), Verdict.FAILURE),
        (errors.UpstreamMalformed(), Verdict.FAILURE),
        (errors.UpstreamTimeout(), Verdict.FAILURE),
        (errors.UpstreamStalled(), Verdict.FAILURE),
        (errors.UpstreamTruncated(), Verdict.FAILURE),
        (errors.UpstreamRefused(500, "server_error", retryable=True), Verdict.FAILURE),
        (errors.UpstreamRefused(529, "overloaded", retryable=True), Verdict.FAILURE),
        (errors.UpstreamRefused(429, "rate_limited", retryable=True), Verdict.COOLING),
        (errors.UpstreamRefused(503, "rate_limited", retryable=True), Verdict.COOLING),
        (errors.UpstreamRefused(429, "spend_limit", retryable=False), Verdict.SPENT),
        (errors.UpstreamRefused(402, "spend_limit", retryable=False), Verdict.SPENT),
        (errors.UpstreamRefused(400, "refused", retryable=False), Verdict.SUCCESS),
        (errors.UpstreamCredentials(), Verdict.SUCCESS),
        (errors.UpstreamBusy(), Verdict.NOTHING),
        (errors.UpstreamErrorEvent(), Verdict.NOTHING),
        (errors.ClientStalled(), Verdict.NOTHING),
        (errors.Expired(), Verdict.NOTHING),
        (errors.InternalError(), Verdict.NOTHING),
        (errors.Draining(), Verdict.NOTHING),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, errors.ProxyError) else None,
)
def test_failure_says_what_it_means_for_the_upstream(failure: errors.ProxyError | None, expected: Verdict) -> None:
    assert verdict_of(failure) is expected


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.booleans()),
        st.tuples(st.just("report"), st.integers(0, 20), st.sampled_from(list(Verdict))),
        st.tuples(st.just("wait"), st.floats(0.0, 400.0)),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_there_are_never_two_probes_at_once(steps: list[tuple[object, ...]]) -> None:
    """Only a permit that has been reported, or a later opening, makes room for another probe."""
    circuits, now, held = health(), 0.0, list[Permit]()

    for step in steps:
        match step:
            case ("wait", float(seconds)):
                now += seconds
            case ("admit", bool(only)):
                granted = circuits.admit("a", now, only=only)
                assert granted is not None or not only
                held += [granted] if granted is not None else []
            case ("report", int(index), Verdict() as verdict) if held:
                circuits.report(held.pop(index % len(held)), verdict, now, retry_after=3.0)
        probes = [one for one in held if one.probe]
        assert len({one.generation for one in probes}) == len(probes)
