from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.logs import LineWriter
from proxy.logs.writer import HURRY_AT

PIPE = 64 * 1024


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(fd)


@pytest.fixture
def full() -> Iterator[int]:
    """A disk without space."""
    fd = os.open("/dev/full", os.O_WRONLY)
    yield fd
    os.close(fd)


def fill(fd: int) -> int:
    """Fill the pipe until a write would block, and return the number of bytes in it."""
    os.set_blocking(fd, False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += os.write(fd, b"." * 4096)
    os.set_blocking(fd, True)
    return sent


def drain(fd: int, size: int) -> bytes:
    """Read *size* bytes."""
    data = b""
    while len(data) < size:
        data += os.read(fd, size - len(data))
    return data


def read_all(fd: int) -> bytes:
    data = b""
    while chunk := os.read(fd, PIPE):
        data += chunk
    return data


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond *size*: to the one who writes, that is a disk that becomes full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def until(condition: Callable[[], object]) -> None:
    """Let the other thread run until *condition* holds."""
    while not condition():
        threading.Event().wait(0.001)


def test_lines_arrive_whole_and_in_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as sink:
        writer = LineWriter(sink)
        writer.start()
        for number in range(1000):
            writer.write(b"line %d\n" % number)

        writer.stop()

    assert (tmp_path / "log").read_bytes() == b"".join(b"line %d\n" % number for number in range(1000))
    assert writer.dropped == 0


def test_a_line_is_written_without_waiting_for_the_end(pipe: tuple[int, int]) -> None:
    reader, sink = pipe
    writer = LineWriter(sink)
    writer.start()

    writer.write(b"hello\n")

    assert drain(reader, 6) == b"hello\n"
    writer.stop()


def test_lines_from_before_the_start_are_kept(pipe: tuple[int, int]) -> None:
    reader, sink = pipe
    writer = LineWriter(sink)
    writer.write(b"early\n")

    writer.start()

    assert drain(reader, 6) == b"early\n"
    writer.stop()


def test_stopping_one_that_never_started_still_writes(pipe: tuple[int, int]) -> None:
    """A start that fails is when the log matters most."""
    reader, sink = pipe
    writer = LineWriter(sink)
    writer.write(b"could not listen\n")

    writer.stop()

    os.close(sink)
    assert read_all(reader) == b"could not listen\n"


def test_a_line_after_the_end_is_counted_as_lost(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1])
    writer.start()
    writer.stop()

    writer.write(b"late\n")

    assert writer.dropped == 1


def test_a_reader_that_stopped_reading_blocks_nobody_and_costs_only_what_exceeds_the_buffer(pipe: tuple[int, int]) -> None:
    """This test would hang if `write` could wait for the pipe."""
    reader, sink = pipe
    filler = fill(sink)
    writer = LineWriter(sink, capacity=64 * 1024)
    writer.start()
    line = b"x" * 99 + b"\n"

    for _ in range(2000):
        writer.write(line)

    lost = writer.dropped
    assert 0 < lost < 2000
    drain(reader, filler)
    assert drain(reader, (2000 - lost) * 100) == line * (2000 - lost)
    writer.write(b"again\n")
    assert drain(reader, 6) == b"again\n"
    assert writer.dropped == lost
    writer.stop()


def test_stopping_does_not_wait_for_a_stuck_reader(pipe: tuple[int, int]) -> None:
    reader, sink = pipe
    fill(sink)
    writer = LineWriter(sink)
    writer.start()
    writer.write(b"x" * HURRY_AT + b"\n")
    until(lambda: "waiting=0" in repr(writer))
    writer.write(b"behind the one that is stuck\n")

    writer.stop(timeout=0.01)

    assert writer.dropped == 1
    os.close(reader)
    until(lambda: not any(thread.name == "log-writer" for thread in threading.enumerate()))
    assert writer.dropped == 2


def test_a_full_disk_loses_lines_and_nothing_else(full: int) -> None:
    writer = LineWriter(full)
    writer.start()
    for _ in range(10):
        writer.write(b"line\n")

    writer.stop()

    assert writer.dropped == 10


def test_a_closed_pipe_loses_lines_and_nothing_else(pipe: tuple[int, int]) -> None:
    reader, sink = pipe
    os.close(reader)
    writer = LineWriter(sink)
    writer.start()
    writer.write(b"line\n")

    writer.stop()

    assert writer.dropped == 1


def test_it_recovers_when_the_sink_does(full: int, pipe: tuple[int, int]) -> None:
    reader, good = pipe
    sink = os.dup(full)
    writer = LineWriter(sink)
    writer.write(b"lost\n")
    writer.start()
    until(lambda: writer.dropped)

    os.dup2(good, sink)
    writer.write(b"kept\n")

    assert drain(reader, 5) == b"kept\n"
    assert writer.dropped == 1
    writer.stop()
    os.close(sink)


def test_a_line_of_which_a_part_was_written_is_ended_before_the_next(tmp_path: Path) -> None:
    """Without that, a full disk would also cost the first line after it."""
    with (tmp_path / "log").open("wb") as sink:
        writer = LineWriter(sink)
        writer.write(b"line one\n")
        writer.write(b"line two\n")
        with file_size_limit(13):
            writer.start()
            until(lambda: writer.dropped)

        writer.write(b"line three\n")
        writer.stop()

    assert (tmp_path / "log").read_bytes() == b"line one\nline\nline three\n"
    assert writer.dropped == 1


def test_a_sink_that_somebody_made_non_blocking_is_waited_for(pipe: tuple[int, int]) -> None:
    """Terminals and pipes are shared; another process may have switched it."""
    reader, sink = pipe
    filler = fill(sink)
    os.set_blocking(sink, False)
    writer = LineWriter(sink)
    writer.write(b"patience\n")
    writer.start()
    until(lambda: "waiting=0" in repr(writer))

    assert drain(reader, filler + 9)[filler:] == b"patience\n"
    assert writer.dropped == 0
    writer.stop()


def test_stopping_gives_up_on_a_non_blocking_sink_that_stays_full(pipe: tuple[int, int]) -> None:
    _, sink = pipe
    fill(sink)
    os.set_blocking(sink, False)
    writer = LineWriter(sink)
    writer.write(b"impatience\n")
    writer.start()
    until(lambda: "waiting=0" in repr(writer))

    writer.stop(timeout=5)

    assert writer.dropped == 1
    assert not any(thread.name == "log-writer" for thread in threading.enumerate())


def test_the_sink_stays_as_it_was_and_open(pipe: tuple[int, int]) -> None:
    _, sink = pipe
    before = fcntl.fcntl(sink, fcntl.F_GETFL)
    writer = LineWriter(sink)
    writer.start()

    writer.stop()

    assert fcntl.fcntl(sink, fcntl.F_GETFL) == before


def test_threads_may_share_it(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as sink:
        writer = LineWriter(sink)
        writer.start()
        threads = [threading.Thread(target=_write_many, args=(writer, name)) for name in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        writer.stop()

    written = (tmp_path / "log").read_bytes().splitlines()
    assert sorted(written) == sorted(name * 50 for name in (b"a", b"b", b"c") for _ in range(500))


def _write_many(writer: LineWriter, name: bytes) -> None:
    for _ in range(500):
        writer.write(name * 50 + b"\n")


def test_it_says_what_waits() -> None:
    writer = LineWriter(1)
    writer.write(b"hello\n")

    assert repr(writer) == "<LineWriter fd=1 waiting=6 dropped=0>"


def test_a_batch_waits_for_its_turn_among_the_processes_that_share_the_sink(tmp_path: Path, pipe: tuple[int, int]) -> None:
    reader, sink = pipe
    turns = os.open(tmp_path / "turns", os.O_RDWR | os.O_CREAT)
    told, tell = os.pipe()
    other = os.fork()
    if not other:  # the lock belongs to a process, so another one must have it
        fcntl.lockf(turns, fcntl.LOCK_EX)
        os.write(sink, b"first ")
        os.write(tell, b".")
        threading.Event().wait(0.2)
        os.write(sink, b"half\n")
        os._exit(0)
    drain(told, 1)
    writer = LineWriter(sink, turns=turns)
    writer.start()

    writer.write(b"second\n")

    assert drain(reader, 18) == b"first half\nsecond\n"
    writer.stop()
    os.waitpid(other, 0)
    for fd in (turns, told, tell):
        os.close(fd)
