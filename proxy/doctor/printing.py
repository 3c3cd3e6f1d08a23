"""The report for people: a paragraph for each hop, then who is to blame and what to change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from proxy.doctor.arrivals import Arrival, Seen, delays, gaps
from proxy.doctor.comparison import at_part
from proxy.doctor.diagnosis import Blame, blame, notes
from proxy.doctor.fingerprints import kept, lost, shown
from proxy.doctor.hop import Course, Hop
from proxy.doctor.paint import BAD, GOOD, WARN, Paint, clean, duration, sparkline
from proxy.doctor.probes.base import Finding
from proxy.doctor.rules import Fix
from proxy.doctor.verdicts import Kind

_LABEL: Final = 10
_WIDEST: Final = 60  # events that a sparkline shows


def hop_lines(number: int, hop: Hop, course: Course, paint: Paint) -> Iterator[str]:
    """Yield the paragraph of one hop."""
    verdict = hop.verdict
    yield f"{paint.dim(f'{number:>2}')}  {paint.bold(hop.url)}"
    reason = f"  {clean(verdict.reason)}" if verdict.reason else ""
    yield f"    {paint.verdict(verdict.words, ok=verdict.kind is Kind.STREAMING)}{reason}"
    seen = hop.seen
    if seen is not None:
        rows = [("times", _times(seen)), ("path", _path(seen)), *_course(hop, seen, course), *_headers(hop, seen, paint)]
        yield from (f"    {paint.dim(f'{label:<{_LABEL}}')}{text}" for label, text in rows if text)
    yield ""


def finding_lines(hop: Hop, findings: Sequence[Finding], paint: Paint) -> Iterator[str]:
    """Yield what the probes have found at one hop."""
    yield paint.bold(f"Probes of {hop.url}")
    for finding in findings:
        symbol = paint.warn("?") if finding.ok is None else paint.good(GOOD) if finding.ok else paint.bad(BAD)
        yield f"  {symbol} {paint.dim(f'{finding.probe:<12}')}{clean(finding.said)}"
        if finding.fix is not None:
            yield f"    {'':<12}{paint.bold('Fix')}  {_mended(finding.fix)}"
    yield ""


def closing_lines(hops: Sequence[Hop], paint: Paint) -> Iterator[str]:
    """Yield what follows from all hops together."""
    guilty = blame(hops)
    if guilty is None:
        count = len(hops)
        yield paint.good(f"Events pass {'the hop' if count == 1 else f'all {count} hops'} one by one.")
    else:
        yield from _blamed(hops, guilty, paint)
    for position, fix in notes(hops):
        yield from _mend(f"{paint.warn(WARN)} {hops[position].url} {fix.symptom.value}.", fix, paint)


def _times(seen: Seen) -> str:
    connected = [] if seen.connected_at is None else [f"connected in {duration(seen.connected_at)}"]
    first = ["no event"] if seen.first_at is None else [f"first event in {duration(seen.first_at)}"]
    return " · ".join([*connected, f"headers in {duration(seen.headers_at)}", *first])


def _path(seen: Seen) -> str:
    told = seen.told.get("http")
    beyond = f"the proxy saw HTTP/{clean(told)}" if isinstance(told, str) and told != seen.version else ""
    coding = f"compressed ({clean(seen.encoding)})" if seen.encoding else "not compressed"
    offered = "" if seen.h2 is None else "HTTP/2 offered" if seen.h2 else "no HTTP/2"
    return " · ".join(filter(None, [f"HTTP/{seen.version}", offered, seen.tls or "no TLS", beyond, coding]))


def _course(hop: Hop, seen: Seen, course: Course) -> list[tuple[str, str]]:
    if hop.verdict.kind is Kind.REFUSED or len(seen.arrivals) < 2:
        return []
    late = delays(seen.arrivals)
    if late:
        return [("delay", f"{sparkline(late[:_WIDEST], max(*late, course.interval))}  at most {duration(max(late))}")]
    return [("gaps", gap_words(seen.arrivals))]


def gap_words(arrivals: tuple[Arrival, ...]) -> str:
    """Return how the gaps between events are distributed."""
    between = gaps(arrivals)
    ordered = sorted(between)
    middle, high = at_part(ordered, 0.5) or 0.0, at_part(ordered, 0.95) or 0.0
    drawn = sparkline(between[:_WIDEST], max(ordered))
    return f"{drawn}  half below {duration(middle)}, 95 % below {duration(high)}, at most {duration(ordered[-1])}"


def _headers(hop: Hop, seen: Seen, paint: Paint) -> list[tuple[str, str]]:
    signs = " · ".join(f"{name}: {clean(value)}" for name, value in shown(seen.headers).items())
    if hop.verdict.kind is Kind.REFUSED or "n" not in seen.told:  # another's answer has other headers
        return [("signs", signs)]
    return [("kept", ", ".join(kept(seen.headers))), ("lost", paint.warn(", ".join(lost(seen.headers)))), ("signs", signs)]


def _blamed(hops: Sequence[Hop], guilty: Blame, paint: Paint) -> Iterator[str]:
    hop = hops[guilty.position]
    place = f"{hop.url} is the first that is worse than the one before it" if guilty.position else hop.url
    if guilty.fix is None:
        yield paint.bad(f"{BAD} {place}: {_sentence(clean(hop.verdict.reason))}")
        return
    who = guilty.fix.product or "what stands there"
    yield from _mend(paint.bad(f"{BAD} {place}: {who} {guilty.fix.symptom.value}."), guilty.fix, paint)


def _mend(said: str, fix: Fix, paint: Paint) -> Iterator[str]:
    yield said
    yield f"  {paint.bold('Fix')}  {_mended(fix)}"


def _sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _mended(fix: Fix) -> str:
    return f"{fix.product}: {fix.text}" if fix.product else fix.text
