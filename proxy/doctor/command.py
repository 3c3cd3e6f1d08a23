"""Runs `llm-proxy doctor`: reads what was said on the command line, examines hop after hop, prints, and returns the exit code."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import re
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TextIO

from proxy.doctor.alpn import offers_h2
from proxy.doctor.arguments import LISTED
from proxy.doctor.comparison import comparison_lines
from proxy.doctor.hop import Course, Hop, accepting, examine
from proxy.doctor.machine import report
from proxy.doctor.paint import Paint, colourful, duration
from proxy.doctor.printing import closing_lines, finding_lines, hop_lines
from proxy.doctor.probes.base import Desk, Finding, Probe, asked
from proxy.doctor.probes.chosen import chosen
from proxy.doctor.progress import progress
from proxy.doctor.target import Target, parse
from proxy.doctor.verdicts import Kind
from proxy.doctor.wire import Ask, Wire

GOOD: Final = 0
WORSE: Final = 1
WRONG_USE: Final = 2
KEY: Final = "LLM_PROXY_KEY"
SHORTEST: Final = 0.5  # seconds of a stream
LONGEST: Final = 3600.0  # and what the proxy itself serves at most
LARGEST: Final = 16 << 20
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff]*))")  # RFC 9110 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done, checked."""

    targets: Sequence[Target]
    course: Course
    headers: Mapping[str, str]
    tls: ssl.SSLContext
    tls_for_h2: ssl.SSLContext  # of the same trust; what is offered to a server stands in a context
    body: bytes = b""
    probes: Sequence[Probe] = ()

    @property
    def seconds(self) -> float:
        """How long all of it takes, about; for streams that are not ours, at most."""
        each = self.course.longest if self.targets[0].foreign else self.course.seconds
        return len(self.targets) * each + sum(probe.seconds for probe in self.probes)

    def ask(self, target: Target) -> Ask | None:
        """Return the request for a foreign stream; None where it is one of ours."""
        if not target.foreign:
            return None
        kind = {"Content-Type": "application/json"} if self.body else {}
        return Ask(url=target.base, method="POST" if self.body else "GET", headers={**accepting("gzip"), **kind}, body=self.body)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Do what *arguments* say and return the exit code."""
    try:
        order = read(arguments, environ)
    except ValueError as exc:
        print(f"llm-proxy doctor: {exc}", file=sys.stderr)
        return WRONG_USE
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without our symbols shows others
    paint = Paint(colour=not arguments.json and colourful(sys.stdout, environ))
    say: Callable[[str], None] = _nothing if arguments.json else _at_once
    try:
        hops, findings = asyncio.run(examined(order, paint, say, sys.stderr))
    except KeyboardInterrupt:
        return WORSE
    good = all(hop.verdict.kind is Kind.STREAMING for hop in hops) and all(
        each.ok is not False for found in findings for each in found
    )
    if arguments.json:
        print(json.dumps(report(hops, findings, good=good), indent=2))
    return GOOD if good else WORSE


async def examined(
    order: Order, paint: Paint, say: Callable[[str], None], terminal: TextIO
) -> tuple[list[Hop], list[list[Finding]]]:
    """Examine every hop, then probe all of them at once, and say each result as soon as it is there.

    The hops are taken one after the other, so that none disturbs another. The progress is shown on *terminal*, if it is one.
    """
    say(paint.dim(_opening(order)) + "\n")
    async with (
        Wire(tls=order.tls, headers=order.headers) as wire,
        progress(terminal, order.seconds, say) as aloud,
    ):
        hops = [await _hop(order, wire, number, paint, aloud) for number in range(1, len(order.targets) + 1)]
        findings = list(await asyncio.gather(*(_probed(order, wire, number, hop) for number, hop in enumerate(hops))))
    for lines in _closing(order, hops, findings, paint):
        for line in lines:
            say(line)
    return hops, findings


async def _hop(order: Order, wire: Wire, number: int, paint: Paint, say: Callable[[str], None]) -> Hop:
    target = order.targets[number - 1]
    hop = await examine(wire, target, order.course, order.ask(target))
    if hop.seen is not None:
        hop = replace(hop, seen=replace(hop.seen, h2=await offers_h2(target.base, order.tls_for_h2)))
    for line in hop_lines(number, hop, order.course, paint):
        say(line)
    return hop


async def _probed(order: Order, wire: Wire, position: int, hop: Hop) -> list[Finding]:
    """Run the probes; where not even a stream can be asked for, there is nothing to probe."""
    if hop.verdict.kind is Kind.REFUSED:
        return []
    desk = Desk(wire, order.targets[position], hop.products)
    return [await asked(probe, desk) for probe in order.probes]


def _closing(order: Order, hops: Sequence[Hop], findings: Sequence[Sequence[Finding]], paint: Paint) -> Iterator[Iterator[str]]:
    yield from (finding_lines(hop, found, paint) for hop, found in zip(hops, findings, strict=True) if found)
    if order.targets[0].foreign and len(hops) > 1:
        yield comparison_lines(hops, paint)
    yield closing_lines(hops, paint)


def read(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Order:
    """Check what was said on the command line. Raises ValueError with a sentence."""
    foreign, key = arguments.url_is_stream, environ.get(KEY, "") if arguments.key is None else arguments.key
    probes = chosen(arguments, key, LISTED)
    for problem in _problems(arguments, probes):
        raise ValueError(problem)
    return Order(
        targets=[parse(url, foreign=foreign) for url in arguments.urls],
        course=Course(
            count=arguments.count,
            interval=arguments.interval,
            size=arguments.size,
            format=arguments.format,
            longest=arguments.longest,
        ),
        headers=_headers(key, arguments.header),
        tls=_trust(arguments),
        tls_for_h2=_trust(arguments),
        body=(arguments.data or "").encode(),
        probes=probes,
    )


def _problems(said: argparse.Namespace, probes: Sequence[Probe]) -> Iterator[str]:
    seconds = (said.count - 1) * said.interval
    if said.url_is_stream and probes:
        yield "the further probes need this proxy's own test stream: leave out --url-is-stream"
    if said.data is not None and not said.url_is_stream:
        yield "--data goes with --url-is-stream"
    if not 3 <= said.count <= 1000:
        yield "--count must be 3 to 1000"
    if not 0.05 <= said.interval <= 60:
        yield "--interval must be 0.05 to 60 seconds: closer together, held back and sent at once look the same"
    if not seconds >= SHORTEST or said.count * said.interval > LONGEST:
        yield f"--count and --interval must make a stream of {SHORTEST:g} s at least, which proves something, and an hour at most"
    if not 0 <= said.size <= 1 << 20 or said.size * said.count > LARGEST:
        yield "--size must be 0 to 1048576 bytes, and 16 MiB at most in all events together"
    if not 0 < said.longest <= LONGEST:
        yield "--for must be 1 to 3600 seconds"


def _headers(key: str, more: Sequence[str]) -> dict[str, str]:
    lines = [*([f"Authorization: Bearer {key}"] if key else []), *more]
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise ValueError("a header or key cannot be sent: it has characters that HTTP does not allow, or no colon")
        headers[found[1]] = found[2]
    return headers


def _trust(arguments: argparse.Namespace) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if arguments.cafile:
        try:
            context.load_verify_locations(cafile=arguments.cafile)
        except OSError as exc:
            raise ValueError(f"--cafile: {exc.strerror or 'no certificate can be read from it'}") from exc
    if arguments.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _opening(order: Order) -> str:
    count, course = len(order.targets), order.course
    hops = "1 hop" if count == 1 else f"{count} hops"
    if order.targets[0].foreign:
        return f"{hops}, each as it is, for {duration(course.longest)} at most"
    further = f", then {', '.join(probe.name for probe in order.probes)}" if order.probes else ""
    return f"{course.count} events, one every {course.interval:g} s, through {hops}{further}: about {duration(order.seconds)}"


def _at_once(line: str) -> None:
    print(line, flush=True)


def _nothing(_line: str) -> None:
    """Be silent: machines read one object at the end."""
