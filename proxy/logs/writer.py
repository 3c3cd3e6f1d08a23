"""Takes log lines without ever blocking and writes them from a thread of its own; what cannot be kept is counted.

Everything the server logs goes to stdout, which is where containers look for it: access lines and events in one order.
What speaks to a person (the banner, errors of the command line) is not a log and goes to stderr.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
from collections.abc import Iterator
from typing import Final, Protocol

CAPACITY: Final = 1024 * 1024  # bytes kept while the sink takes nothing
HURRY_AT: Final = 256 * 1024  # bytes that are written without waiting for the end of the period
PERIOD: Final = 0.1  # seconds over which lines are gathered
STOP_TIMEOUT: Final = 1.0
LF: Final = b"\n"


class HasFileno(Protocol):
    """An open file, pipe, socket or terminal."""

    def fileno(self) -> int: ...


class LineWriter:
    """A bounded buffer of lines in front of a file descriptor. Started once and stopped once.

    `write` may be called from any thread, before `start` too. The descriptor stays the caller's: it is neither closed nor
    made non-blocking, which other processes that share it would feel. Those that write into the same sink share a file *turns*,
    which is locked for each batch: a pipe would mix what is longer than a page.
    """

    def __init__(self, sink: int | HasFileno, *, capacity: int = CAPACITY, turns: int | None = None) -> None:
        self._fd = sink if isinstance(sink, int) else sink.fileno()
        self._turns = turns
        self._lock = threading.Lock()
        # Two fixed buffers, one filled while the other is written: no memory is allocated per line, none beyond these.
        # Their first byte is a line feed, written only to end a line of which the sink got no more than a part.
        self._filling = bytearray(LF.ljust(capacity // 2))
        self._spare = bytearray(LF.ljust(capacity // 2))
        self._room = memoryview(self._filling)  # what is put into a bytearray itself is copied twice
        self._used = 1
        self._dropped = 0
        self._torn = False
        self._some = threading.Event()
        self._hurry = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)

    def __repr__(self) -> str:
        return f"<LineWriter fd={self._fd} waiting={self._used - 1} dropped={self._dropped}>"

    @property
    def dropped(self) -> int:
        """Lines lost so far, because the buffer was full, the sink refused them, or they came after the end."""
        return self._dropped

    def write(self, line: bytes) -> None:
        """Take a *line*, its line feed included. It is dropped if there is no room for it."""
        self._lock.acquire()  # `with` takes twice as long, and each request comes by here
        try:
            start = self._used
            end = start + len(line)
            if end > len(self._room) or self._stopping:
                self._dropped += 1
                return
            self._room[start:end] = line
            self._used = end
        finally:
            self._lock.release()
        if start == 1:
            self._some.set()
        if end >= HURRY_AT and not self._hurry.is_set():
            self._hurry.set()

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Write what is waiting and end. A sink that is stuck for *timeout* seconds costs the rest."""
        with self._lock:
            self._stopping = True
        if self._thread.ident is None:
            self._thread.start()
        self._some.set()
        self._hurry.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            with self._lock:
                self._dropped += self._filling.count(LF, 1, self._used)
                self._used = 1

    def _run(self) -> None:
        while True:
            self._some.wait()
            if not self._stopping:
                self._hurry.wait(PERIOD)
            with self._lock:
                full, used = self._filling, self._used
                self._filling, self._room, self._used = self._spare, memoryview(self._spare), 1
                self._some.clear()
                self._hurry.clear()
            with self._turn():
                self._put(full, used)
            self._spare = full
            if self._stopping and self._used == 1:
                return

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        if self._turns is None:
            yield
            return
        fcntl.lockf(self._turns, fcntl.LOCK_EX)  # the kernel's: it is free again when its process has died
        try:
            yield
        finally:
            fcntl.lockf(self._turns, fcntl.LOCK_UN)

    def _put(self, data: bytearray, end: int) -> None:
        """Write the lines in *data*. On any failure the rest is lost; the next batch tries the sink again."""
        start = sent = 0 if self._torn and end > 1 else 1
        try:
            with memoryview(data) as view:
                while sent < end:
                    sent += self._write_some(view[sent:end])
        except OSError:
            with self._lock:
                self._dropped += data.count(LF, max(sent, 1), end)
        if sent > start:
            self._torn = data[sent - 1] != LF[0]

    def _write_some(self, view: memoryview) -> int:
        try:
            return os.write(self._fd, view)
        except BlockingIOError:
            if self._stopping:
                raise
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll(PERIOD * 1000)
            return 0
