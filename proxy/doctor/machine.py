"""The report for machines: everything that was found, as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from proxy.doctor.arrivals import Seen, delays
from proxy.doctor.diagnosis import blame, notes
from proxy.doctor.fingerprints import kept, lost, shown
from proxy.doctor.hop import Hop
from proxy.doctor.probes.base import Finding
from proxy.doctor.rules import Fix
from proxy.doctor.verdicts import Verdict


def report(hops: Sequence[Hop], findings: Sequence[Sequence[Finding]], *, good: bool) -> Mapping[str, Any]:
    """Return the whole report; *findings* are those of each hop. Times are in milliseconds."""
    guilty = blame(hops)
    blamed = None if guilty is None else {"hop": guilty.position + 1, "fix": None if guilty.fix is None else _fix(guilty.fix)}
    return {
        "good": good,
        "hops": [{**_hop(hop), "probes": [_finding(each) for each in found]} for hop, found in zip(hops, findings, strict=True)],
        "blame": blamed,
        "notes": [{"hop": position + 1, "fix": _fix(fix)} for position, fix in notes(hops)],
    }


def _hop(hop: Hop) -> dict[str, Any]:
    return {"url": hop.url, "verdict": _verdict(hop.verdict), "products": hop.products, "answer": hop.seen and _seen(hop.seen)}


def _finding(finding: Finding) -> dict[str, Any]:
    fix = None if finding.fix is None else _fix(finding.fix)
    return {"probe": finding.probe, "ok": finding.ok, "said": finding.said, "fix": fix, "facts": finding.facts}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {"word": verdict.kind.value, "burst": verdict.burst, "at_ms": _ms(verdict.seconds), "reason": verdict.reason or None}


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        "status": seen.status,
        "http": seen.version,
        "http_at_the_proxy": seen.told.get("http"),
        "tls": seen.tls,
        "http_2_offered": seen.h2,
        "encoding": seen.encoding or None,
        "connected_ms": _ms(seen.connected_at),
        "headers_ms": _ms(seen.headers_at),
        "first_event_ms": _ms(seen.first_at),
        "ended_ms": _ms(seen.ended_at),
        "end": seen.end.value,
        "arrivals_ms": [_ms(arrival.at) for arrival in seen.arrivals],
        "delays_ms": [_ms(delay) for delay in delays(seen.arrivals)],
        "keepalives": seen.keepalives,
        "headers_kept": kept(seen.headers),
        "headers_lost": lost(seen.headers),
        "signs": shown(seen.headers),
    }


def _fix(fix: Fix) -> dict[str, Any]:
    return {"product": fix.product or None, "symptom": fix.symptom.name.lower(), "text": fix.text}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
