"""The report for people."""

from __future__ import annotations

import pytest

from proxy.doctor.arrivals import Arrival, End
from proxy.doctor.hop import Course, Hop
from proxy.doctor.paint import Paint
from proxy.doctor.printing import closing_lines, finding_lines, hop_lines
from proxy.doctor.probes.base import Finding
from proxy.doctor.rules import Symptom, fix
from proxy.doctor.verdicts import Kind, Verdict
from tests.unit.doctor.sights import HELD, OURS, hop, through

COURSE = Course(count=4)
PLAIN = Paint(colour=False)
REFUSED = Hop("http://c", Verdict(kind=Kind.REFUSED, reason="nothing listens there"))


def text(it: Hop) -> str:
    return "\n".join(hop_lines(2, it, COURSE, PLAIN))


def closing(*hops: Hop) -> str:
    return "\n".join(closing_lines(hops, PLAIN))


def test_hop_has_its_verdict_times_way_delays_and_signs() -> None:
    assert text(hop("http://a", connected_at=0.001, tls="TLSv1.3", headers_at=0.0072)) == (
        " 2  http://a\n"
        "    ✓ STREAMING\n"
        "    times     connected in 1 ms · headers in 7 ms · first event in 10 ms\n"
        "    path      HTTP/1.1 · TLSv1.3 · not compressed\n"
        "    delay     ▁▁▁▁  at most 0 ms\n"
        "    kept      content-type, cache-control, x-accel-buffering, x-request-id\n"
        "    signs     server: llm-stream-proxy\n"
    )


def test_delays_of_a_stream_that_was_held_fall_to_its_end() -> None:
    said = text(hop(times=HELD, headers=through("nginx", **{"content-encoding": "gzip"})))

    assert "✗ BUFFERED (all at once after 1.6 s)" in said
    assert "delay     █▆▃▁  at most 1.50 s" in said
    assert "compressed (gzip)" in said


def test_http_that_the_proxy_saw_is_told_where_it_is_another() -> None:
    assert "HTTP/1.1 · no TLS · the proxy saw HTTP/1.0" in text(hop(told={"n": 1, "http": "1.0"}))
    assert "the proxy saw" not in text(hop())


@pytest.mark.parametrize(
    ("h2", "said"),
    [(True, "HTTP/1.1 · HTTP/2 offered · TLSv1.3"), (False, "HTTP/1.1 · no HTTP/2 · TLSv1.3"), (None, "HTTP/1.1 · TLSv1.3")],
)
def test_http_that_browsers_are_offered_is_told(h2: bool | None, said: str) -> None:
    assert said in text(hop(h2=h2, tls="TLSv1.3"))


def test_lost_headers_are_named_for_streams_of_ours_only() -> None:
    headers = {name: value for name, value in OURS.items() if name != "cache-control"}

    assert "lost      cache-control" in text(hop(headers=headers))
    assert "lost" not in text(hop(headers=headers, told={}))


def test_foreign_stream_has_its_gaps() -> None:
    it = hop(arrivals=(Arrival(1.0), Arrival(1.2), Arrival(2.0)), expected=None, told={})

    assert "gaps      ▃█  half below 800 ms, 95 % below 800 ms, at most 800 ms" in text(it)


def test_refusal_is_one_sentence() -> None:
    assert text(REFUSED) == " 2  http://c\n    ✗ REFUSED  nothing listens there\n"


def test_stream_without_an_event_says_so() -> None:
    assert "no event" in text(hop(times=[], end=End.BROKEN, expected=4))


@pytest.mark.parametrize("command", ["\x1b[2J", "\x9b2J", "\x07", "\x7f", "\u202e"])
def test_what_a_server_sends_is_no_command_to_the_terminal(command: str) -> None:
    refused = Hop("http://c", Verdict(kind=Kind.REFUSED, reason=f"a redirect to {command}"))
    finding = Finding(probe="post", ok=False, said=f"a redirect to {command}")
    sent = {"content-encoding": command, "via": command}

    said = text(hop(headers=through(command, **sent), told={"n": 1, "http": command}))

    assert command.encode("unicode_escape").decode() in said
    assert command not in said
    assert command not in text(refused) + closing(refused) + "".join(finding_lines(refused, [finding], PLAIN))


def test_good_end_is_said_in_one_line() -> None:
    assert closing(hop()) == "Events pass the hop one by one."
    assert closing(hop(), hop()) == "Events pass all 2 hops one by one."


def test_hop_to_blame_is_named_with_its_mend() -> None:
    said = closing(hop(), hop("http://b", times=HELD, headers=through("nginx")))

    assert said.startswith(
        "✗ http://b is the first that is worse than the one before it: nginx holds bytes back.\n  Fix  nginx: set `proxy_buffering off;`"
    )


def test_hop_whose_product_is_unknown_gets_a_mend_all_the_same() -> None:
    said = closing(hop("http://b", times=HELD))

    assert said.startswith("✗ http://b: what stands there holds bytes back.\n  Fix  look there for response buffering")


def test_refusal_is_to_blame_without_a_mend() -> None:
    assert closing(hop(), REFUSED) == "✗ http://c is the first that is worse than the one before it: nothing listens there."


def test_question_ends_with_its_own_mark() -> None:
    refused = Hop("http://c", Verdict(kind=Kind.REFUSED, reason="is this the right port?"))

    assert closing(refused) == "✗ http://c: is this the right port?"


def test_smaller_faults_are_warnings() -> None:
    said = closing(hop(told={"n": 1, "http": "1.0"}, headers=through("nginx")))

    assert "⚠ http://a speaks HTTP/1.0 to the proxy" in said
    assert "proxy_http_version 1.1" in said


def test_findings_have_their_symbol_and_their_mend() -> None:
    findings = [
        Finding(probe="post", ok=True, said="STREAMING"),
        Finding(probe="bodies", ok=False, said="too large", fix=fix(Symptom.BODY, ["nginx"])),
        Finding(probe="clock", ok=None, said="unknown"),
    ]

    assert list(finding_lines(hop("http://a"), findings, PLAIN)) == [
        "Probes of http://a",
        "  ✓ post        STREAMING",
        "  ✗ bodies      too large",
        "                Fix  nginx: set `client_max_body_size 32m;`",
        "  ? clock       unknown",
        "",
    ]
