"""The page that shows whether a path streams: one document, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from proxy.handler.stream_check import assembled, document, stream_check
from tests.unit.handler.calling import asked

GET = "GET /stream-check HTTP/1.1\r\nHost: p\r\n%s\r\n"


def hashed(part: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"


def directives() -> dict[str, list[str]]:
    """What the policy of the page allows, by kind."""
    policy = (words.split() for words in document().policy.decode().split(";"))
    return {kind: allowed for kind, *allowed in policy}


async def test_page_is_html_that_is_asked_about_before_each_use() -> None:
    async with asked((GET % "").encode()) as it:
        stream_check(it.call)

        assert it.head[0] == b"HTTP/1.1 200 OK"
        assert b"Content-Type: text/html; charset=utf-8" in it.head
        assert b"Cache-Control: no-cache" in it.head
        assert b"ETag: " + document().etag in it.head
        assert b"X-Request-Id: r1" in it.head
        assert it.body == document().body
        assert it.call.exchange.status == 200


@pytest.mark.parametrize("form", ["{}", "W/{}", '"old", {}'])
async def test_page_that_the_browser_has_is_not_sent_again(form: str) -> None:
    """A server that compresses makes an ETag a weak one."""
    known = form.format(document().etag.decode())
    async with asked((GET % f"If-None-Match: {known}\r\n").encode()) as it:
        stream_check(it.call)

        assert it.head[0] == b"HTTP/1.1 304 Not Modified"
        assert b"ETag: " + document().etag in it.head
        assert it.body == b""
        assert it.call.exchange.status == 304


async def test_page_of_another_version_is_sent_again() -> None:
    async with asked((GET % 'If-None-Match: "another"\r\n').encode()) as it:
        stream_check(it.call)

        assert it.head[0] == b"HTTP/1.1 200 OK"


async def test_head_has_the_length_of_the_page_without_it() -> None:
    async with asked(b"HEAD /stream-check HTTP/1.1\r\nHost: p\r\n\r\n") as it:
        stream_check(it.call)

        assert b"Content-Length: %d" % len(document().body) in it.head
        assert it.body == b""


@pytest.mark.parametrize("kind", ["style", "script"])
def test_policy_names_every_part_of_the_page_by_its_hash_and_nothing_else(kind: str) -> None:
    parts = re.findall(f"<{kind}>(.*?)</{kind}>", document().body.decode(), re.DOTALL)

    assert len(parts) >= 1
    assert directives()[f"{kind}-src"] == [hashed(part) for part in parts]


def test_policy_lets_the_page_talk_to_its_own_origin_only() -> None:
    allowed = directives()

    assert allowed["default-src"] == ["'none'"]
    assert allowed["connect-src"] == ["'self'"]
    assert allowed["img-src"] == ["data:"]
    assert all(allowed[kind] == ["'none'"] for kind in ("base-uri", "form-action", "frame-ancestors"))


def test_page_needs_no_other_file() -> None:
    page = document().body.decode()

    assert re.findall(r'\b(?:src|href)="(?!data:)', page) == []
    assert re.findall(r"@import|url\(", page) == []
    assert re.findall(r"\bstyle=|\bon\w+=\"", page) == []  # which the policy would refuse


def test_another_style_makes_another_page(tmp_path: Path) -> None:
    (tmp_path / "stream_check.html").write_text('<link rel="stylesheet" href="a.css"><script src="b.js"></script>')
    (tmp_path / "b.js").write_text("let a;")
    (tmp_path / "a.css").write_text("a {}")
    first = assembled(tmp_path)
    (tmp_path / "a.css").write_text("b {}")
    second = assembled(tmp_path)

    assert first.body == b"<style>a {}</style><script>let a;</script>"
    assert first.etag != second.etag
    assert hashed("a {}").encode() in first.policy
    assert hashed("b {}").encode() in second.policy
