"""What kinds of requests get through to the proxy whole: POST, large bodies, long headers?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from proxy.doctor.hop import Course
from proxy.doctor.listening import Patience
from proxy.doctor.probes.base import Desk, Finding
from proxy.doctor.rules import Symptom
from proxy.doctor.verdicts import Kind, judge
from proxy.doctor.wire import Unreachable

_SOON: Final = Patience(head=60.0, silence=15.0, whole=15.0)
_STREAM: Final = Course(count=4)
_BODY: Final = b'{"probe": "post"}'


@dataclass(frozen=True, slots=True)
class Post:
    """A stream as the answer to a POST, as chat endpoints have it."""

    name: str = "post"

    @property
    def seconds(self) -> float:
        return _STREAM.seconds

    async def run(self, desk: Desk) -> Finding:
        ask = replace(desk.ask(_STREAM.query), method="POST", body=_BODY)
        seen = await desk.stream(ask, _SOON, expected=_STREAM.count)
        verdict = judge(seen)
        arrived = (seen.told.get("method"), seen.told.get("body")) == ("POST", len(_BODY))
        ok = arrived and verdict.kind is Kind.STREAMING
        mend = None if verdict.kind is Kind.STREAMING else desk.mend(Symptom.HELD)
        return Finding(
            probe=self.name, ok=ok, said=verdict.words if arrived else "the request does not arrive as it was sent", fix=mend
        )


@dataclass(frozen=True, slots=True)
class Bodies:
    """Ever larger bodies, until one is refused. Sizes are in MiB."""

    sizes: Sequence[float]
    name: str = "bodies"

    @property
    def seconds(self) -> float:
        return sum(self.sizes) / 10

    async def run(self, desk: Desk) -> Finding:
        async def goes_through(size: float) -> str:
            body = bytes(int(size * 1024 * 1024))
            ask = replace(desk.ask({"count": 1}, Content_Type="application/octet-stream"), method="POST", body=body)
            seen = await desk.stream(ask, _SOON)
            return "" if seen.told.get("body") == len(body) else "only a part of it arrived"

        return await _climb(self.name, self.sizes, "MiB", goes_through, desk, Symptom.BODY)


@dataclass(frozen=True, slots=True)
class Headers:
    """Ever longer headers, until one is refused. Sizes are in KiB."""

    sizes: Sequence[float]
    name: str = "headers"

    @property
    def seconds(self) -> float:
        return 0.5

    async def run(self, desk: Desk) -> Finding:
        async def goes_through(size: float) -> str:
            await desk.stream(desk.ask({"count": 1}, X_Doctor="x" * int(size * 1024)), _SOON)
            return ""

        return await _climb(self.name, self.sizes, "KiB", goes_through, desk, Symptom.HEADERS)


async def _climb(
    name: str, sizes: Sequence[float], unit: str, goes_through: Callable[[float], Awaitable[str]], desk: Desk, symptom: Symptom
) -> Finding:
    passed = 0.0
    for size in sorted(sizes):
        try:
            reason = await goes_through(size)
        except Unreachable as exc:
            reason = str(exc)
        if reason:
            said = f"{size:g} {unit} do not get through: {reason}; {f'{passed:g} {unit} do' if passed else 'nothing smaller was tried'}"
            return Finding(probe=name, ok=False, said=said, fix=desk.mend(symptom), facts={"passed": passed, "refused": size})
        passed = size
    return Finding(probe=name, ok=True, said=f"up to {passed:g} {unit} get through", facts={"passed": passed})
