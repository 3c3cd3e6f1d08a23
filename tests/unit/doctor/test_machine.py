"""The report for machines."""

from __future__ import annotations

import json

from proxy.doctor.hop import Hop
from proxy.doctor.machine import report
from proxy.doctor.probes.base import Finding
from proxy.doctor.rules import Symptom, fix
from proxy.doctor.verdicts import Kind, Verdict
from tests.unit.doctor.sights import HELD, hop, through

REFUSED = Hop("http://c", Verdict(kind=Kind.REFUSED, reason="nothing listens there"))


def test_report_has_everything_and_is_json() -> None:
    hops = [hop(), hop("http://b", times=HELD, headers=through("nginx"))]

    found = json.loads(json.dumps(report(hops, [[], []], good=False)))

    assert found["good"] is False
    assert [each["verdict"]["word"] for each in found["hops"]] == ["STREAMING", "BUFFERED"]
    assert found["hops"][1]["verdict"]["at_ms"] == 1600
    assert found["hops"][1]["answer"]["delays_ms"] == [1500, 1000, 500, 0]
    assert found["hops"][0]["answer"]["first_event_ms"] == 10
    assert found["blame"]["hop"] == 2
    assert found["blame"]["fix"]["product"] == "nginx"
    assert found["notes"] == []


def test_hop_without_an_answer_has_its_reason() -> None:
    found = report([REFUSED], [[]], good=False)

    assert found["hops"][0]["answer"] is None
    assert found["hops"][0]["verdict"]["reason"] == "nothing listens there"
    assert found["blame"] == {"hop": 1, "fix": None}


def test_good_end_blames_nobody() -> None:
    assert report([hop()], [[]], good=True)["blame"] is None


def test_hop_has_what_its_probes_have_found() -> None:
    finding = Finding(probe="bodies", ok=False, said="no", fix=fix(Symptom.BODY, ["nginx"]), facts={"passed": 2})

    [probe] = report([hop()], [[finding]], good=False)["hops"][0]["probes"]

    assert (probe["probe"], probe["ok"], probe["said"], probe["facts"]) == ("bodies", False, "no", {"passed": 2})
    assert probe["fix"]["product"] == "nginx"
