"""Which heads count as the one that a connection had before."""

from __future__ import annotations

import pytest

from proxy.headers import Header, Heads, noted

VERSION = (1, 1)
HOST = (b"Host", b"p")
KEY = (b"Authorization", b"Bearer sk-one")
CHAT = (HOST, (b"Content-Length", b"3"), KEY)


def having(*raw: Header) -> Heads:
    heads = Heads()
    for _ in range(2):
        heads.note(raw, VERSION, noted(raw))
    return heads


def test_the_same_head_is_known_again() -> None:
    assert having(*CHAT).recall(CHAT, VERSION) == noted(CHAT)


def test_a_head_without_a_body_is_known_again() -> None:
    assert having(HOST, KEY).recall((HOST, KEY), VERSION) == noted((HOST, KEY))


def test_the_length_of_the_body_may_be_another_one() -> None:
    longer = (HOST, (b"Content-Length", b"2000"), KEY)

    assert having(*CHAT).recall(longer, VERSION) == noted(longer)


def test_the_first_head_is_not_worth_remembering() -> None:
    heads = Heads()

    heads.note(CHAT, VERSION, noted(CHAT))

    assert heads.recall(CHAT, VERSION) is None


def test_nothing_is_known_of_a_connection_that_had_no_request() -> None:
    assert Heads().recall(CHAT, VERSION) is None


@pytest.mark.parametrize(
    "raw",
    [
        (HOST, (b"Content-Length", b"3"), (b"Authorization", b"Bearer sk-two")),
        (HOST, (b"Content-Length", b"3"), KEY, (b"X-Api-Key", b"sk-two")),
        (HOST, (b"Content-Length", b"3"), KEY, (b"Content-Length", b"4")),
        (HOST, (b"Content-Length", b"3")),
        (HOST, KEY),
        (KEY, (b"Content-Length", b"3"), HOST),
        (HOST, (b"content-length", b"4"), KEY),
        (HOST, (b"Origin", b"3"), KEY),
        (HOST, (b"Content-Length", b"+3"), KEY),
        (HOST, (b"Content-Length", b""), KEY),
        ((b"Host", b"q"), (b"Content-Length", b"3"), KEY),
    ],
)
def test_a_head_with_any_other_difference_is_not(raw: tuple[Header, ...]) -> None:
    assert having(*CHAT).recall(raw, VERSION) is None


def test_a_head_that_is_not_known_spoils_nothing() -> None:
    heads = having(*CHAT)
    heads.recall((HOST, (b"Origin", b"3"), KEY), VERSION)
    heads.recall((HOST, (b"Content-Length", b"+3"), KEY), VERSION)

    assert heads.recall(CHAT, VERSION) == noted(CHAT)
    assert heads.recall((HOST, (b"Origin", b"3"), KEY), VERSION) is None


def test_a_header_that_is_added_at_the_end_is_not_overlooked() -> None:
    assert having(HOST).recall((HOST, KEY), VERSION) is None
    assert having(HOST).recall((HOST, (b"Content-Length", b"3")), VERSION) is None


def test_another_version_is_another_head() -> None:
    assert having(*CHAT).recall(CHAT, (1, 0)) is None


def test_another_version_is_another_head_also_for_one_that_was_recalled() -> None:
    heads = having(*CHAT)
    heads.recall(CHAT, VERSION)

    assert heads.recall(CHAT, (1, 0)) is None


def test_what_was_recalled_of_another_head_is_forgotten_with_it() -> None:
    """The lines in which a head was passed on are those of the one that is known."""
    heads = having(*CHAT)
    heads.recall(CHAT, VERSION)
    heads.note((HOST, KEY), VERSION, noted((HOST, KEY)))

    assert heads.recall(CHAT, VERSION) is None


def test_head_that_comes_again_with_another_length_says_so_each_time() -> None:
    heads = having(*CHAT)
    longer = (HOST, (b"Content-Length", b"2000"), KEY)

    said = [heads.recall(raw, VERSION) for raw in (longer, longer, CHAT, longer)]

    assert said == [noted(longer), noted(longer), noted(CHAT), noted(longer)]


@pytest.mark.parametrize("single", [(b"Expect", b"100-continue"), (b"Transfer-Encoding", b"chunked"), (b"X-Request-ID", b"r1")])
def test_heads_that_are_worth_a_look_each_time_are_not_remembered(single: Header) -> None:
    assert having(HOST, single).recall((HOST, single), VERSION) is None


def test_another_head_brings_other_lines() -> None:
    heads = having(*CHAT)
    heads.passed_by, heads.lines = heads, b"Host: p\r\n"

    heads.note((HOST,), VERSION, noted((HOST,)))

    assert heads.passed_by is None
