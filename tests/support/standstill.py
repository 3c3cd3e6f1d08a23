"""Knows when the machine stood still, and runs a test again that failed meanwhile: it has measured the machine, not the proxy.

Some tests are about time: a deadline is kept, a departure is noticed soon. Their bounds are tight, and stay so. But a
machine may give a process no turn for seconds, and then the clock runs without us. A test that fails for any other reason
fails again, and one during which nothing stood still is not asked twice. What was run again is told at the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Final

import pytest
from _pytest.runner import runtestprotocol

TRIES: Final = 3
STANDSTILL: Final = 0.2  # seconds; a shorter one is a matter for the test itself
PROPERTY: Final = "stood still"

_BEAT: Final = 0.02


class Pulse:
    """A thread that wants a turn at every beat, and remembers how long it had to wait at most."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._last = time.monotonic()

    def start(self) -> None:
        """Begin to count."""
        self._last = time.monotonic()
        threading.Thread(target=self._run, name="pulse", daemon=True).start()

    def take(self) -> float:
        """Return the longest wait since the last call, in seconds, one that is not over yet included."""
        waiting = time.monotonic() - self._last - _BEAT
        longest, self._longest = max(self._longest, waiting), 0.0
        return longest

    def _run(self) -> None:
        while True:
            time.sleep(_BEAT)
            now = time.monotonic()
            self._longest = max(self._longest, now - self._last - _BEAT)
            self._last = now


_pulse: Final = Pulse()


def pytest_sessionstart() -> None:
    """Begin to count where the tests run."""
    _pulse.start()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run *item*, and again if it fails while nobody had a turn."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    stood: list[float] = []
    while True:
        _pulse.take()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        longest = _pulse.take()
        if longest < STANDSTILL or not any(report.failed for report in reports) or len(stood) == TRIES - 1:
            break
        stood.append(longest)
        _forget(item)
    reports[-1].user_properties.extend((PROPERTY, seconds) for seconds in stood)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was run again."""
    lines = list(_told(report for reports in terminalreporter.stats.values() for report in reports))
    if lines:
        terminalreporter.section("run again, because the machine stood still")
        terminalreporter.write_line("\n".join(lines))


def _told(reports: Iterable[object]) -> Iterable[str]:
    for report in reports:
        if isinstance(report, pytest.TestReport):
            waits: Sequence[object] = [value for name, value in report.user_properties if name == PROPERTY]
            if waits:
                yield f"{report.nodeid}: {', '.join(f'{wait:.1f} s' for wait in waits)}"


def _forget(item: pytest.Item) -> None:
    """Let go of what the last run has left in *item*."""
    assert isinstance(item, pytest.Function)
    item._initrequest()
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        for definition in definitions:
            if definition.cached_result is not None and definition.cached_result[2] is not None:
                definition.finish(item._request)  # type: ignore[arg-type]  # it is asked for its node only
