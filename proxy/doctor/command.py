"""Runs `llm-proxy doctor`: reads what was said on the command line, examines hop after hop, prints, and returns the exit code."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.doctor.hop import Course, Hop, accepting, examine
from proxy.doctor.machine import report
from proxy.doctor.paint import Paint, colourful, duration
from proxy.doctor.printing import closing_lines, hop_lines
from proxy.doctor.target import Target, parse
from proxy.doctor.verdicts import Kind
from proxy.doctor.wire import Ask, Wire

GOOD: Final = 0
WORSE: Final = 1
WRONG_USE: Final = 2
KEY: Final = "LLM_PROXY_KEY"
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff]*))")  # RFC 9110 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done, checked."""

    targets: Sequence[Target]
    course: Course
    headers: Mapping[str, str]
    tls: ssl.SSLContext
    body: bytes = b""

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
    paint = Paint(colour=not arguments.json and colourful(sys.stdout, environ))
    say: Callable[[str], None] = _nothing if arguments.json else _at_once
    try:
        hops = asyncio.run(examined(order, paint, say))
    except KeyboardInterrupt:
        return WORSE
    streaming = all(hop.verdict.kind is Kind.STREAMING for hop in hops)
    if arguments.json:
        print(json.dumps(report(hops, streaming=streaming), indent=2))
    return GOOD if streaming else WORSE


async def examined(order: Order, paint: Paint, say: Callable[[str], None]) -> list[Hop]:
    """Examine every hop, one after the other so that none disturbs another, and say each result as soon as it is there."""
    course = order.course
    hops: list[Hop] = []
    say(paint.dim(_opening(order)) + "\n")
    async with Wire(tls=order.tls, headers=order.headers) as wire:
        for number, target in enumerate(order.targets, start=1):
            hops.append(await examine(wire, target, course, order.ask(target)))
            for line in hop_lines(number, hops[-1], course, paint):
                say(line)
    for line in closing_lines(hops, paint):
        say(line)
    return hops


def read(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Order:
    """Check what was said on the command line. Raises ValueError with a sentence."""
    foreign = arguments.url_is_stream
    if arguments.data is not None and not foreign:
        raise ValueError("--data goes with --url-is-stream")
    if not 3 <= arguments.count <= 1000:
        raise ValueError("--count must be 3 to 1000")
    if not 0.05 <= arguments.interval <= 60:
        raise ValueError("--interval must be 0.05 to 60 seconds: closer together, held back and sent at once look the same")
    if not 0 <= arguments.size <= 1 << 20:
        raise ValueError("--size must be 0 to 1048576 bytes")
    return Order(
        targets=[parse(url, foreign=foreign) for url in arguments.urls],
        course=Course(count=arguments.count, interval=arguments.interval, size=arguments.size),
        headers=_headers(arguments, environ),
        tls=_trust(arguments),
        body=(arguments.data or "").encode(),
    )


def _headers(arguments: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    key = arguments.key if arguments.key is not None else environ.get(KEY, "")
    lines = [*([f"Authorization: Bearer {key}"] if key else []), *arguments.header]
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
        return f"{hops}, each as it is, for a minute at most"
    whole = duration(count * course.seconds)
    return f"{course.count} events, one every {course.interval:g} s, through {hops}: about {whole}"


def _at_once(line: str) -> None:
    print(line, flush=True)


def _nothing(_line: str) -> None:
    """Be silent: machines read one object at the end."""
