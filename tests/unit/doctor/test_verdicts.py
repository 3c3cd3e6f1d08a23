"""Verdicts on arrivals; the table is the page's too."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.doctor.arrivals import Arrival, End
from proxy.doctor.verdicts import Kind, Verdict, bursts, judge
from tests.unit.doctor.sights import seen

CASES: Final = json.loads((Path(__file__).parents[2] / "golden" / "verdicts.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_verdict_is_that_of_the_table(case: dict[str, Any]) -> None:
    times = [(sent, at) for sent, at in case["arrivals"]]
    ended = {"ended_at": case["ended_at"]} if "ended_at" in case else {}

    verdict = judge(seen(times, end=End(case["end"]), expected=case["count"], **ended))

    assert (verdict.kind.value, verdict.burst, verdict.seconds) == (case["word"], case.get("burst"), case.get("seconds"))


def test_events_that_are_sent_at_once_prove_nothing() -> None:
    assert judge(seen([(0.0, 1.0), (0.1, 1.0), (0.15, 1.0)])).kind is Kind.STREAMING


@pytest.mark.parametrize(
    ("times", "kind"),
    [
        ([1.2, 1.21, 1.22], Kind.BUFFERED),
        ([0.3, 0.31, 0.32], Kind.STREAMING),
        ([1.2, 1.5, 1.8], Kind.STREAMING),
        ([9.0], Kind.STREAMING),
    ],
)
def test_foreign_stream_is_buffered_if_all_of_it_comes_at_once_and_late(times: list[float], kind: Kind) -> None:
    arrivals = tuple(Arrival(at) for at in times)

    assert judge(seen(arrivals=arrivals, expected=None)).kind is kind


def test_foreign_stream_that_was_left_open_streams_and_is_told_so() -> None:
    arrivals = (Arrival(1.0), Arrival(2.0), Arrival(3.0))

    verdict = judge(seen(arrivals=arrivals, expected=None, end=End.ENDLESS))

    assert (verdict.kind, verdict.reason) == (Kind.STREAMING, "it was still open when we stopped listening")


def test_bursts_are_counted() -> None:
    arrivals = tuple(Arrival(at, sent) for at, sent in [(1.0, 0.0), (1.0, 0.5), (2.0, 1.0), (3.0, 1.5), (3.09, 2.0)])

    assert bursts(arrivals) == [2, 1, 2]
    assert bursts(()) == []


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict(kind=Kind.STREAMING), "STREAMING"),
        (Verdict(kind=Kind.COALESCED, burst=4), "COALESCED (4 events per burst)"),
        (Verdict(kind=Kind.BUFFERED, seconds=4.52), "BUFFERED (all at once after 4.5 s)"),
        (Verdict(kind=Kind.CUT, seconds=60.04), "CUT at 60.0 s"),
        (Verdict(kind=Kind.REFUSED), "REFUSED"),
    ],
)
def test_verdict_is_said_in_few_words(verdict: Verdict, words: str) -> None:
    assert verdict.words == words


def test_verdicts_are_ordered() -> None:
    ordered = [Verdict(kind=kind) for kind in Kind]

    assert all(later.worse_than(earlier) for earlier, later in pairwise(ordered))
    assert not any(verdict.worse_than(verdict) for verdict in ordered)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (End.BROKEN, "4 of 9 events came, then the connection was cut"),
        (End.CLEAN, "4 of 9 events came, then the answer ended as if it were complete"),
        (End.SILENT, "4 of 9 events came, then nothing came any more"),
        (End.ENDLESS, "4 of 9 events came, then it went on with something else"),
    ],
)
def test_cut_is_explained(end: End, reason: str) -> None:
    assert judge(seen(end=end, expected=9)).reason == reason


def test_events_that_are_lost_on_the_way_are_a_cut() -> None:
    verdict = judge(seen(expected=5))

    assert (verdict.kind, verdict.reason) == (Kind.CUT, "4 of 5 events came, then the end came")


@pytest.mark.parametrize("end", [End.DONE, End.CLEAN, End.ENDLESS])
def test_foreign_stream_without_an_event_is_a_cut(end: End) -> None:
    assert judge(seen((), end=end, expected=None)).kind is Kind.CUT


def test_single_event_proves_nothing() -> None:
    assert judge(seen([(0.0, 9.0)])).kind is Kind.STREAMING


def test_cut_of_a_foreign_stream_does_not_know_how_many_were_to_come() -> None:
    assert judge(seen(end=End.BROKEN, expected=None)).reason == "4 events came, then the connection was cut"
