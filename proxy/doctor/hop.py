"""Puts the test stream through one hop, and says what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.doctor.arrivals import End, Seen
from proxy.doctor.complaint import complaint
from proxy.doctor.fingerprints import EVENTS, LINES, media_type, products
from proxy.doctor.listening import Patience, listen
from proxy.doctor.target import Target, shown
from proxy.doctor.verdicts import Kind, Verdict, judge
from proxy.doctor.wire import Answer, Ask, Unreachable, Wire

MARGIN: Final = 30.0  # seconds that an answer may take longer than it should
STRANGER: Final = "this is not the proxy's test stream: give the base URL of the proxy, or of what stands before it; for any other stream, add --url-is-stream"
_EXPLAINED: Final = (400, 404, 413, 422, 429)  # of a server that is not ours; what is said of a credential may contain it
_NOT_AT_ALL: Final = Patience(whole=0)  # what is refused is not read
_STATUS: Final = {
    400: "it does not understand the request",
    401: "the credential is missing or wrong: --key, or LLM_PROXY_KEY",
    403: "the credential does not allow this",
    404: "there is no /test/stream: is this the base URL of the proxy, or of what stands before it?",
    405: "it does not serve this method there",
    407: "an HTTP proxy on the way wants a credential of its own",
    413: "the request is too large for it",
    426: "it wants another protocol",
    429: "it serves no more requests of this caller at the moment",
    502: "it cannot reach what stands behind it",
    503: "nothing behind it is ready",
    504: "what stands behind it did not answer in time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The test stream that every hop is asked for."""

    count: int = 10
    interval: float = 0.5
    size: int = 0
    format: str = "sse"
    longest: float = 60.0  # seconds for which a stream that is not ours is listened to

    @property
    def seconds(self) -> float:
        """How long it takes where nothing delays it."""
        return (self.count - 1) * self.interval

    @property
    def query(self) -> dict[str, str | float]:
        """What asks the proxy for it."""
        return {"count": self.count, "interval": self.interval, "size": self.size, "format": self.format}


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop, and how the stream came through it; `seen` is None where there was no answer at all. `url` is as people may see it."""

    url: str
    verdict: Verdict
    seen: Seen | None = None

    @property
    def products(self) -> list[str]:
        """Who has left a sign on the answer."""
        return [] if self.seen is None else products(self.seen.headers)


async def examine(wire: Wire, target: Target, course: Course, ask: Ask | None = None) -> Hop:
    """Ask *target* for the stream and listen to it. *ask* replaces the request, for streams that are not ours."""
    asked = ask or Ask(url=target.stream(**course.query), headers=accepting("gzip"))
    longest = course.longest if target.foreign else MARGIN + course.seconds
    try:
        async with wire.open(asked, within=longest) as answer:
            reason = refusal(answer, foreign=target.foreign)
            if target.foreign and answer.status in _EXPLAINED and (said := await complaint(answer)):
                reason = f"{reason}: {wire.masked(said)}"
            patience = Patience(silence=longest, whole=longest)
            expected = None if target.foreign else course.count
            enough = expected and expected + 1  # events that nobody asked for: it may have no end
            seen = await listen(answer, _NOT_AT_ALL if reason else patience, expected=expected, enough=enough)
    except Unreachable as exc:
        return Hop(target.shown, Verdict(kind=Kind.REFUSED, reason=str(exc)))
    if reason:
        return Hop(target.shown, Verdict(kind=Kind.REFUSED, reason=reason), seen)
    if stranger(seen):
        return Hop(target.shown, Verdict(kind=Kind.REFUSED, reason=STRANGER), seen)
    return Hop(target.shown, judge(seen), seen)


def stranger(seen: Seen) -> bool:
    """Tell whether somebody else's stream has come where one of ours was asked for.

    Its events do not count themselves, or are too many, or there are none although there was time for them.
    """
    if seen.expected is None:
        return False
    if seen.arrivals:
        return "n" not in seen.told or len(seen.arrivals) > seen.expected
    return seen.end in (End.DONE, End.ENDLESS) or (seen.end is End.CLEAN and seen.empty)


def accepting(*codings: str) -> dict[str, str]:
    """Return the headers of a client that reads events, in one of these encodings."""
    return {"Accept": f"{EVENTS}, {LINES[0]}", "Accept-Encoding": ", ".join(codings), "User-Agent": "llm-proxy-doctor"}


def refusal(answer: Answer, *, foreign: bool = False) -> str:
    """Say why an answer is no stream; empty: it is one."""
    status, kind = answer.status, media_type(answer.headers)
    if 300 <= status < 400:
        place = shown(answer.headers.get("location", "somewhere else"))
        return f"it answers with a redirect ({status}) to {place}: give that address, if it is yours"
    if status != 200:
        why = "there is nothing at this address" if foreign and status == 404 else _STATUS.get(status, "it refuses")
        return f"{why} (status {status})"
    if kind in ("text/html", "application/xhtml+xml"):
        return "a web page came back, not events: this address leads somewhere else"
    if kind != EVENTS and kind not in LINES:
        return f"what came back is {kind or 'of no type'}, not {EVENTS}"
    return ""
