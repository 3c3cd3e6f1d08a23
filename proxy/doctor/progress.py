"""A bar on a terminal that shows how much of the estimated time is over; nothing where there is no terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TextIO

from proxy.doctor.paint import duration
from proxy.tasks import Tasks

WIDTH: Final = 28
EVERY: Final = 0.2  # seconds between two drawings
_ERASE: Final = "\r\x1b[K"


class Progress:
    """A bar of *seconds* on *terminal*. What is said meanwhile goes through `around`, so that it does not run into the bar."""

    def __init__(self, terminal: TextIO, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._seconds = seconds
        self._clock = clock
        self._began = clock()
        self._shown = False

    def draw(self) -> None:
        """Draw it as of now. It never claims to be full: an estimate is an estimate."""
        over = self._clock() - self._began
        part = min(0.99, over / self._seconds) if self._seconds else 0.99
        full = round(part * WIDTH)
        left = self._seconds - over
        said = f"about {duration(left)} left" if left >= 1 else "nearly done"
        self._terminal.write(f"{_ERASE}  {'█' * full}{'░' * (WIDTH - full)}  {said}")
        self._terminal.flush()
        self._shown = True

    def around(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """Return *say*, with the bar out of its way."""

        def said(line: str) -> None:
            self.erase()
            say(line)

        return said

    def erase(self) -> None:
        """Take it away until the next drawing."""
        if self._shown:
            self._terminal.write(_ERASE)
            self._terminal.flush()
            self._shown = False

    async def run(self) -> None:
        """Draw it again and again."""
        while True:
            self.draw()
            await asyncio.sleep(EVERY)


@asynccontextmanager
async def progress(terminal: TextIO, seconds: float, say: Callable[[str], None]) -> AsyncIterator[Callable[[str], None]]:
    """Show a bar during the block, if *terminal* is one, and lend what is to be used in place of *say*."""
    if not terminal.isatty():
        yield say
        return
    bar, tasks = Progress(terminal, seconds), Tasks()
    tasks.spawn(bar.run(), name="progress")
    try:
        yield bar.around(say)
    finally:
        await tasks.close()
        bar.erase()
