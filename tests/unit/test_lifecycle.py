from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from proxy.errors import Draining, ProxyError, TooManyStreams, TooManyStreamsOfSubject
from proxy.exchange import Exchange
from proxy.lifecycle import Lifecycle, State
from tests.support.loops import both_loops
from tests.support.transports import turns


class Request:
    """A request in flight."""

    def __init__(self, slot: str = "") -> None:
        self.exchange = Exchange("r", 0.0, 0.0)
        self.slot = slot


def filled(count: int, *, of: int) -> tuple[Lifecycle, list[Request]]:
    """A lifecycle of *of* slots, of which *count* are taken."""
    lifecycle, requests = Lifecycle(of), [Request() for _ in range(count)]
    lifecycle.state = State.READY
    for request in requests:
        lifecycle.admit(request)
    return lifecycle, requests


def refused(call: Callable[[], None]) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        call()
    return caught.value


def test_a_process_begins_as_starting_and_idle() -> None:
    lifecycle = Lifecycle(3)

    assert (lifecycle.state, lifecycle.max_streams, len(lifecycle), lifecycle.in_flight) == (State.STARTING, 3, 0, ())


@pytest.mark.parametrize(
    ("state", "draining"),
    [(State.STARTING, False), (State.READY, False), (State.DRAINING, True), (State.STOPPED, True)],
)
def test_connections_are_to_be_closed_from_the_drain_on(state: State, draining: bool) -> None:
    lifecycle = Lifecycle(1)

    lifecycle.state = state

    assert lifecycle.draining is draining


@pytest.mark.parametrize("state", [State.STARTING, State.READY, State.DRAINING])
def test_until_the_end_a_request_is_admitted(state: State) -> None:
    """Also while draining: on connections that are open already there must be no refusal."""
    lifecycle, request = Lifecycle(1), Request()
    lifecycle.state = state

    lifecycle.admit(request)

    assert lifecycle.in_flight == (request,)


def test_a_process_that_has_stopped_admits_nobody() -> None:
    lifecycle = Lifecycle(1)
    lifecycle.state = State.STOPPED

    error = refused(lambda: lifecycle.admit(Request()))

    assert type(error) is Draining
    assert error.retry_after == 1
    assert len(lifecycle) == 0


def test_a_full_process_refuses_and_says_when_to_try_again() -> None:
    lifecycle, requests = filled(2, of=2)

    error = refused(lambda: lifecycle.admit(Request()))

    assert type(error) is TooManyStreams
    assert (error.detail, error.retry_after) == ("2 requests in flight", 1)
    assert list(lifecycle.in_flight) == requests


def test_a_slot_that_was_given_back_can_be_taken_again() -> None:
    lifecycle, (first, second) = filled(2, of=2)
    third = Request()

    lifecycle.release(first)
    lifecycle.admit(third)

    assert lifecycle.in_flight == (second, third)


def test_giving_a_slot_back_twice_gives_back_one() -> None:
    lifecycle, (first, second) = filled(2, of=2)

    lifecycle.release(first)
    lifecycle.release(first)

    assert lifecycle.in_flight == (second,)


def test_a_request_that_was_refused_gives_back_nothing() -> None:
    lifecycle, requests = filled(1, of=1)
    late = Request()
    refused(lambda: lifecycle.admit(late))

    lifecycle.release(late)

    assert list(lifecycle.in_flight) == requests


def test_a_limit_that_was_lowered_refuses_new_requests_and_keeps_the_old_ones() -> None:
    lifecycle, requests = filled(2, of=2)

    lifecycle.max_streams = 1
    error = refused(lambda: lifecycle.admit(Request()))

    assert type(error) is TooManyStreams
    assert list(lifecycle.in_flight) == requests


def test_what_is_in_flight_may_be_ended_while_it_is_walked() -> None:
    lifecycle, requests = filled(3, of=3)

    for request in lifecycle.in_flight:
        lifecycle.release(request)

    assert (len(lifecycle), len(requests)) == (0, 3)


# Subjects.


def test_a_subject_has_its_limit_and_others_have_their_own() -> None:
    lifecycle = Lifecycle(10)
    lifecycle.admit_subject("ann", 2)
    lifecycle.admit_subject("ann", 2)

    error = refused(lambda: lifecycle.admit_subject("ann", 2))
    lifecycle.admit_subject("bob", 1)

    assert type(error) is TooManyStreamsOfSubject
    assert (error.detail, error.retry_after) == ("2 requests in flight for this subject", 1)


def test_the_detail_of_a_subject_s_refusal_does_not_name_it() -> None:
    lifecycle = Lifecycle(10)

    error = refused(lambda: lifecycle.admit_subject("ann@example.com", 0))

    assert "ann" not in error.detail + error.public


def test_a_subject_s_slot_can_be_taken_again() -> None:
    lifecycle = Lifecycle(10)
    for _ in range(2):
        lifecycle.admit_subject("ann", 2)

    lifecycle.release_subject("ann")
    lifecycle.admit_subject("ann", 2)
    error = refused(lambda: lifecycle.admit_subject("ann", 2))

    assert type(error) is TooManyStreamsOfSubject


def test_a_subject_that_was_refused_holds_nothing_more() -> None:
    lifecycle = Lifecycle(10)
    lifecycle.admit_subject("ann", 1)
    refused(lambda: lifecycle.admit_subject("ann", 1))

    lifecycle.release_subject("ann")

    lifecycle.admit_subject("ann", 1)


def test_a_release_too_many_makes_no_room() -> None:
    lifecycle = Lifecycle(10)
    lifecycle.admit_subject("ann", 1)
    for _ in range(3):
        lifecycle.release_subject("ann")

    lifecycle.admit_subject("ann", 1)
    error = refused(lambda: lifecycle.admit_subject("ann", 1))

    assert type(error) is TooManyStreamsOfSubject


def test_a_subject_without_requests_is_forgotten() -> None:
    """There may be as many as there are users."""
    lifecycle = Lifecycle(10)

    for number in range(3):
        lifecycle.admit_subject(str(number), 1)
        lifecycle.release_subject(str(number))

    assert lifecycle._subjects == {}


# Waiting for the end.


@both_loops
async def test_a_process_without_requests_is_idle_at_once() -> None:
    await asyncio.wait_for(Lifecycle(1).idle(), 1)


@both_loops
async def test_idle_waits_for_the_last_request() -> None:
    lifecycle, (first, second) = filled(2, of=2)
    waiting = asyncio.gather(lifecycle.idle())

    lifecycle.release(first)
    await turns(2)
    early = waiting.done()
    lifecycle.release(second)
    await asyncio.wait_for(waiting, 1)

    assert not early


@both_loops
async def test_a_process_that_was_idle_waits_again_for_a_new_request() -> None:
    lifecycle, (first,) = filled(1, of=2)
    lifecycle.release(first)
    lifecycle.admit(second := Request())

    waiting = asyncio.gather(lifecycle.idle())
    await turns(2)
    early = waiting.done()
    lifecycle.release(second)
    await asyncio.wait_for(waiting, 1)

    assert not early


def test_a_subject_finds_its_own_requests_by_their_id() -> None:
    lifecycle, mine, other = Lifecycle(3), Request("api_key:ann"), Request("jwt:ann")
    for request in (mine, other):
        lifecycle.admit(request)

    assert lifecycle.of_subject("api_key:ann", "r") == [mine]
    assert lifecycle.of_subject("api_key:ann", "s") == []


class Lender:
    """Other workers that lend so many slots, one at a time."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.lent = 0
        self.questions = 0

    def leased(self, subject: str) -> int:
        return self.lent if subject == "ann" else 0

    async def lease(self, subject: str, limit: int) -> bool:
        assert (subject, limit) == ("ann", 9)
        self.questions += 1
        more = self.lent < self.slots
        self.lent += more
        return more

    async def end(self, _subject: str, _request_id: str) -> int:
        return 0

    async def departure(self, _subject: str, _request_id: str) -> None:
        return None


async def test_a_subject_has_what_all_processes_together_leave_it() -> None:
    lifecycle = Lifecycle(10)
    lifecycle.peers = lender = Lender(2)
    for _ in range(2):
        lifecycle.admit_subject("ann", 9)
        await lifecycle.share_subject("ann", 9)

    lifecycle.admit_subject("ann", 9)
    with pytest.raises(TooManyStreamsOfSubject):
        await lifecycle.share_subject("ann", 9)

    assert (lifecycle.held("ann"), lender.questions) == (3, 3)  # the third is given back at the end of its request


async def test_what_is_leased_already_needs_no_question() -> None:
    lifecycle = Lifecycle(10)
    lifecycle.peers = lender = Lender(1)
    for _ in range(3):
        lifecycle.admit_subject("ann", 9)
        await lifecycle.share_subject("ann", 9)
        lifecycle.release_subject("ann")

    assert (lifecycle.held("ann"), lender.questions) == (0, 1)


async def test_a_process_alone_shares_with_nobody() -> None:
    lifecycle = Lifecycle(10)
    lifecycle.admit_subject("ann", 9)

    await lifecycle.share_subject("ann", 9)

    assert lifecycle.held("ann") == 1
