"""What one connection remembers of its caller: the same words, for a moment, under the same configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from proxy.auth import Caller, Principal
from proxy.auth.caller import RECALL_FOR
from proxy.headers import noted

NOW = 1_700_000_000.0
CONFIGURATION = object()
HEAD = noted([(b"Host", b"p"), (b"Authorization", b"Bearer sk-one"), (b"Content-Length", b"3")])


def principal(expires_at: float | None = None) -> Principal:
    return Principal(subject="ann", method="jwt", models=None, max_streams=9, expires_at=expires_at)


def remembering(head: Mapping[bytes, Sequence[bytes]] = HEAD, expires_at: float | None = None) -> Caller:
    caller = Caller()
    caller.note(CONFIGURATION, head, principal(expires_at), NOW)
    return caller


def test_who_repeats_a_good_credential_is_known() -> None:
    again = noted([(b"authorization", b"Bearer sk-one"), (b"Content-Length", b"99"), (b"X-Request-Id", b"r2")])

    assert remembering().recall(CONFIGURATION, again, NOW + 1) == principal()


def test_nobody_is_known_before_anybody_has_spoken() -> None:
    assert Caller().recall(None, {}, 0.0) is None
    assert Caller().recall(CONFIGURATION, HEAD, NOW) is None


@pytest.mark.parametrize(
    "raw",
    [
        [(b"Authorization", b"Bearer sk-two")],
        [(b"Authorization", b"Bearer sk-one ")],
        [(b"X-Api-Key", b"Bearer sk-one")],
        [(b"Authorization", b"Bearer sk-one"), (b"X-Api-Key", b"sk-one")],
        [(b"Authorization", b"Bearer sk-one"), (b"Authorization", b"Bearer sk-one")],
        [],
    ],
    ids=["another key", "one byte more", "another header", "a second header", "the same twice", "none"],
)
def test_who_says_anything_else_is_not_known(raw: list[tuple[bytes, bytes]]) -> None:
    assert remembering().recall(CONFIGURATION, noted(raw), NOW) is None


def test_memory_ends_soon() -> None:
    caller = remembering()

    assert caller.recall(CONFIGURATION, HEAD, NOW + RECALL_FOR - 0.001) is not None
    assert caller.recall(CONFIGURATION, HEAD, NOW + RECALL_FOR) is None


def test_memory_ends_with_the_token() -> None:
    caller = remembering(expires_at=NOW + 2)

    assert caller.recall(CONFIGURATION, HEAD, NOW + 1.999) is not None
    assert caller.recall(CONFIGURATION, HEAD, NOW + 2) is None


def test_clock_that_was_set_back_does_not_prolong_it() -> None:
    assert remembering().recall(CONFIGURATION, HEAD, NOW - 1) is None


def test_verdict_of_one_configuration_is_not_that_of_another() -> None:
    assert remembering().recall(object(), HEAD, NOW) is None


def test_one_connection_knows_nothing_of_another() -> None:
    remembering()

    assert Caller().recall(CONFIGURATION, HEAD, NOW) is None


def test_secret_is_not_shown() -> None:
    assert "sk-one" not in repr(remembering())


COOKIE = (b"Cookie", b"session=sk-one")


@pytest.mark.parametrize("raw", [[COOKIE], [COOKIE, (b"Authorization", b"Bearer sk-one")]], ids=["alone", "beside a header"])
def test_who_sends_a_cookie_is_not_remembered(raw: list[tuple[bytes, bytes]]) -> None:
    """Else whoever comes next on the connection of a server in front, with no cookie at all, would be taken for its owner."""
    caller = remembering(noted(raw))

    assert caller.recall(CONFIGURATION, noted([*raw[1:], (b"Accept", b"*/*")]), NOW) is None
    assert caller.recall(CONFIGURATION, noted(raw), NOW) is None


def test_who_sends_a_cookie_is_not_taken_for_who_sent_none() -> None:
    """Where anonymous use is allowed, a request without any credential is remembered."""
    caller = remembering(noted([]))

    assert caller.recall(CONFIGURATION, noted([]), NOW) is not None
    assert caller.recall(CONFIGURATION, noted([COOKIE]), NOW) is None


def test_who_sends_several_credentials_is_not_remembered() -> None:
    """Where anonymous use is allowed, they count as none."""
    several = noted([(b"X-Api-Key", b"sk-one"), (b"Api-Key", b"sk-two")])

    assert remembering(several).recall(CONFIGURATION, several, NOW) is None


def test_who_sends_nothing_is_known_by_that() -> None:
    caller = remembering(noted([(b"Host", b"p")]))

    assert caller.recall(CONFIGURATION, noted([(b"Host", b"q")]), NOW) is not None
    assert caller.recall(CONFIGURATION, HEAD, NOW) is None
