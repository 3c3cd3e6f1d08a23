"""What servers say when they refuse."""

from __future__ import annotations

import gzip

import pytest

from proxy.doctor import complaint as room
from proxy.doctor.complaint import complaint, message
from tests.unit.doctor.serving import HEAD, answering

ERROR = b'{"error": {"message": "stream must be a boolean.", "code": "bad"}}'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (ERROR, "stream must be a boolean"),
        (b'{"error": "no such model"}', "no such model"),
        (b'{"message": "no"}', "no"),
        (b'{"detail": "no"}', "no"),
        (b'{"error": {"message": 5}}', ""),
        (b"[]", ""),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_message_is_found_where_apis_put_it(body: bytes, said: str) -> None:
    assert message(body) == said


@pytest.mark.parametrize(
    ("body", "said"),
    [(gzip.compress(ERROR), "stream must be a boolean"), (ERROR, ""), (gzip.compress(b" " * (1 << 24) + ERROR), "")],
    ids=["compressed", "not at all", "a bomb"],  # gzip writes the time down
)
async def test_message_that_is_compressed_is_read(body: bytes, said: str) -> None:
    async with answering(HEAD + b"Content-Encoding: gzip\r\n\r\n" + body) as answer:
        assert await complaint(answer) == said


async def test_message_that_breaks_off_is_none() -> None:
    async with answering(HEAD + b"Content-Length: 999\r\n\r\n" + ERROR) as answer:
        assert await complaint(answer) == ""


async def test_message_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WITHIN", 0.1)

    async with answering(HEAD + b"Content-Length: 999\r\n\r\n" + ERROR, stay=True) as answer:
        assert await complaint(answer) == ""
