"""Addresses as they are typed."""

from __future__ import annotations

import re

import pytest

from proxy.doctor.target import Target, parse, shown


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("http://proxy:8080", "http://proxy:8080"),
        ("https://chat.example.com/", "https://chat.example.com"),
        ("proxy:8080", "http://proxy:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://x.example/llm/", "https://x.example/llm"),
        ("https://x.example/llm/test/stream", "https://x.example/llm"),
    ],
)
def test_base_is_what_the_paths_are_added_to(text: str, base: str) -> None:
    target = parse(text)

    assert target == Target(base)
    assert target.stream(count=3, interval=0.5) == f"{base}/test/stream?count=3&interval=0.5"
    assert target.departure("r1") == f"{base}/test/departures/r1"


def test_id_that_a_server_has_given_leads_to_no_other_path() -> None:
    assert Target("http://a").departure("../x?y\r\nz") == "http://a/test/departures/..%2Fx%3Fy%0D%0Az"


def test_foreign_stream_is_asked_as_it_is() -> None:
    target = parse("https://api.example.com/v1/chat?x=%2F#part", foreign=True)

    assert target.stream(count=3) == "https://api.example.com/v1/chat?x=%2F"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ftp://x", "only http and https"),
        ("http://", "no host"),
        ("http://:80", "no host"),
        ("http://x:port", "no URL"),
        ("http://x:99999", "no URL"),
        ("http://x:0", "port 0"),
        ("http://[::1", "no URL"),
        ("http://me:secret@x", "no credential"),
        ("http://secret@x", "no credential"),
        ("http://:secret@x", "no credential"),
        ("http://x/ y", "printable"),
        ("http://x/?count=3", "without a query"),
        ("", "no host"),
        ("ftp://me:secret@x", "no credential"),
        ("http://me:secret@x:port", "http://x:port: this is no URL"),
        ("http://me:se/secret@x", "http://x: this is no URL"),
        ("http://me:se?secret@x", "http://x: this is no URL"),
        ("http://me:se#secret@x", "http://x: this is no URL"),
        ("me:secret@[::1", "no URL"),
        ("http://me:secret @x", "'http://x': a URL has printable"),
        ("http://x/?access_token=secret", "http://x/?access_token=***: the base URL is wanted"),
        ("ftp://x/?secret", "ftp://x/?***: only http and https"),
        ("ftp://x#secret", "ftp://x: only http and https"),
    ],
)
def test_wrong_address_is_refused_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as refused:
        parse(text)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://x.example:8443/v1/a@b", "https://x.example:8443/v1/a@b"),
        ("https://me:secret@x/v1", "https://x/v1"),
        ("//me:secret@x/v1", "//x/v1"),
        ("/next?a=secret", "/next?a=***"),
        ("http://x/?a=secret&b=&c=se=cret;secret#secret", "http://x/?a=***&b=&c=***;***"),
        ("http://x/?a=secret@x", "http://x/?a=***"),
    ],
)
def test_url_is_shown_without_what_may_be_secret(url: str, seen: str) -> None:
    assert shown(url) == seen
    assert Target(url).shown == seen
    assert "secret" not in repr(Target(url))
