"""The bar."""

from __future__ import annotations

import io

from proxy.doctor.progress import WIDTH, Progress, progress


class Page(io.StringIO):
    def say(self, line: str) -> None:
        self.write(line)


class Terminal(Page):
    def isatty(self) -> bool:
        return True


def test_bar_grows_and_says_what_is_left() -> None:
    now = 100.0
    terminal = Terminal()
    bar = Progress(terminal, 20.0, clock=lambda: now)

    now = 105.0
    bar.draw()

    assert terminal.getvalue() == f"\r\x1b[K  {'█' * 7}{'░' * (WIDTH - 7)}  about 15.0 s left"


def test_bar_is_never_full() -> None:
    now = 0.0
    terminal = Terminal()
    bar = Progress(terminal, 1.0, clock=lambda: now)

    now = 9.0
    bar.draw()

    assert "nearly done" in terminal.getvalue()


def test_what_is_said_does_not_run_into_the_bar() -> None:
    terminal = Terminal()
    bar = Progress(terminal, 20.0)
    bar.draw()
    drawn = len(terminal.getvalue())

    bar.around(terminal.say)("a line\n")
    bar.erase()  # nothing is left to take away

    assert terminal.getvalue()[drawn:] == "\r\x1b[Ka line\n"


async def test_bar_is_taken_away_at_the_end() -> None:
    terminal = Terminal()

    async with progress(terminal, 20.0, terminal.say) as say:
        say("x")

    assert not terminal.getvalue().endswith("left")


async def test_without_a_terminal_there_is_no_bar() -> None:
    stream = Page()

    async with progress(stream, 20.0, stream.say) as say:
        say("x")

    assert stream.getvalue() == "x"
