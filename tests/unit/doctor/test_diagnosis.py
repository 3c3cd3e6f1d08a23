"""Who is to blame, and for what."""

from __future__ import annotations

import pytest

from proxy.doctor.arrivals import End
from proxy.doctor.diagnosis import blame, notes, symptom
from proxy.doctor.hop import Hop
from proxy.doctor.rules import Symptom
from proxy.doctor.verdicts import Kind, Verdict
from tests.unit.doctor.sights import HELD, PROMPT, hop, through

SLOW = [(2.0 * number, 1 + 2.0 * number) for number in range(4)]
REFUSED = Hop("http://c", Verdict(kind=Kind.REFUSED, reason="nothing listens there"))


def test_nobody_is_to_blame_where_all_streams() -> None:
    assert blame([hop(), hop()]) is None


def test_first_hop_that_is_worse_is_to_blame_and_its_own_product_named() -> None:
    inner = hop(headers=through("nginx"))
    outer = hop(times=HELD, headers=through("nginx", via="1.1 Caddy"))

    found = blame([inner, outer, REFUSED])

    assert found is not None
    assert found.position == 1
    assert found.fix is not None
    assert (found.fix.product, found.fix.symptom) == ("Caddy", Symptom.HELD)


def test_product_that_was_there_before_is_named_where_no_other_shows() -> None:
    """A second nginx looks like the first."""
    found = blame([hop(headers=through("nginx")), hop(times=HELD, headers=through("nginx"))])

    assert found is not None
    assert found.fix is not None
    assert found.fix.product == "nginx"


def test_hop_that_is_no_worse_than_the_one_before_it_is_not_to_blame() -> None:
    found = blame([hop(times=HELD), hop(times=HELD)])

    assert found is not None
    assert found.position == 0


def test_refusal_has_its_reason_and_no_mend() -> None:
    found = blame([hop(), REFUSED])

    assert found is not None
    assert (found.position, found.fix) == (1, None)


@pytest.mark.parametrize(
    ("it", "expected"),
    [
        (hop(), None),
        (REFUSED, None),
        (hop(times=HELD), Symptom.HELD),
        (hop(times=HELD, headers=through("Caddy", **{"content-encoding": "gzip"})), Symptom.ENCODED),
        (hop(end=End.BROKEN, ended_at=1.6), Symptom.TOTAL),
        (hop(end=End.BROKEN, ended_at=9.0), Symptom.SILENCE),
        (hop(end=End.SILENT, ended_at=1.6), Symptom.SILENCE),
        (hop(times=SLOW, end=End.BROKEN, ended_at=9.0), Symptom.TOTAL),
        (hop(times=SLOW, end=End.BROKEN, ended_at=13.5), Symptom.SILENCE),
        (hop(times=[(0.0, 1.0)], end=End.BROKEN, ended_at=1.4), Symptom.TOTAL),
        (hop(times=[(0.0, 1.0)], end=End.BROKEN, ended_at=1.6), Symptom.SILENCE),
        (hop(expected=9), None),
        (hop(times=[], end=End.CLEAN, ended_at=9.0, expected=4), Symptom.SILENCE),
        (hop(times=[], end=End.CLEAN, ended_at=0.1, expected=None), None),
        (hop(times=[], end=End.BROKEN, ended_at=0.1, expected=4), None),
        (hop(times=[], end=End.ENDLESS, ended_at=9.0, expected=None), None),
        (hop(end=End.ENDLESS, ended_at=1.6, expected=9), None),
        (hop(end=End.ENDLESS, ended_at=30.0, expected=9), Symptom.SILENCE),
    ],
)
def test_symptom_follows_from_what_was_seen(it: Hop, expected: Symptom | None) -> None:
    assert symptom(it) is expected


@pytest.mark.parametrize("lags", [(0.2, 0, 0, 0), (0.2, 0.2, 0.2, 0)])
def test_bytes_that_are_held_for_a_moment_are_noted_where_that_begins(lags: tuple[float, ...]) -> None:
    late = [(sent, at + lag) for (sent, at), lag in zip(PROMPT, lags, strict=True)]

    [(position, fix)] = notes([hop(), hop(times=late), hop(times=late)])

    assert (position, fix.symptom) == (1, Symptom.LATE)
    assert "option http-no-delay" in fix.text


def test_single_event_that_is_late_is_an_accident() -> None:
    late = [(sent, at + 0.2 * (sent == 0.5)) for sent, at in PROMPT]

    assert notes([hop(times=late)]) == []


def test_stream_that_is_late_as_a_whole_is_only_far_away() -> None:
    assert notes([hop(), hop(times=[(sent, at + 0.2) for sent, at in PROMPT])]) == []


def test_old_http_towards_the_proxy_is_noted_where_it_begins() -> None:
    old = {"n": 1, "http": "1.0"}

    [(position, fix)] = notes([hop(), hop(told=old, headers=through("nginx")), hop(told=old, headers=through("nginx"))])

    assert (position, fix.symptom, fix.product) == (1, Symptom.OLD_HTTP, "nginx")


def test_hop_without_an_answer_is_passed_over() -> None:
    assert notes([hop(), REFUSED, hop()]) == []
