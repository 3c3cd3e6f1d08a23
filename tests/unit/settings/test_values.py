from __future__ import annotations

import pytest

from proxy.settings.values import (
    Address,
    ForwardProxy,
    Origin,
    duration,
    duration_text,
    flag,
    is_loopback,
    name_pattern,
    size,
    size_text,
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("[::1]:8080", "::1", 8080),
        ("[::]:65535", "::", 65535),
        ("Localhost:80", "localhost", 80),
        ("my_service.internal:80", "my_service.internal", 80),
    ],
)
def test_an_address_has_a_host_without_brackets_and_a_port(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize("text", ["127.0.0.1:8080", "[::1]:8080"])
def test_an_address_prints_as_it_is_written(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (":8080", "the host is missing: write 127.0.0.1:8080"),
        ("8080", "expected host:port"),
        ("", "expected host:port"),
        ("::1:8080", "brackets"),
        ("[::zz]:80", "host name or an IP"),
        ("http://127.0.0.1:80", "without a scheme"),
        ("127.0.0.1:http", "port between 0 and 65535"),
        ("127.0.0.1:65536", "port between 0 and 65535"),
        ("127.0.0.1:-1", "port between 0 and 65535"),
        ("a b:80", "host name or an IP"),
        ("-a:80", "host name or an IP"),
    ],
)
def test_a_wrong_address_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=r"expected|missing|brackets") as caught:
        Address.parse(text)

    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("db", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
    assert Address(host, 1).is_loopback is expected


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://api.openai.com/v1", Origin("https", "api.openai.com", 443, "/v1")),
        ("https://api.openai.com/v1/", Origin("https", "api.openai.com", 443, "/v1")),
        ("http://[::1]:8000", Origin("http", "::1", 8000, "")),
        ("http://host/", Origin("http", "host", 80, "")),
        ("https://h:444/A%2fb/%7E;x=1//c", Origin("https", "h", 444, "/A%2fb/%7E;x=1//c")),
        ("HTTPS://API.Example.COM/V1", Origin("https", "api.example.com", 443, "/V1")),
    ],
)
def test_an_origin_keeps_its_path_byte_for_byte(text: str, origin: Origin) -> None:
    assert Origin.parse(text) == origin


@pytest.mark.parametrize(
    ("text", "authority"),
    [("https://h:443", "h"), ("http://h:443", "h:443"), ("http://[::1]:80", "[::1]"), ("https://[::1]:8443/v1", "[::1]:8443")],
)
def test_the_authority_leaves_the_default_port_out(text: str, authority: str) -> None:
    assert Origin.parse(text).authority == authority


def test_an_origin_prints_as_a_url() -> None:
    assert str(Origin.parse("https://[::1]:8443/v1/")) == "https://[::1]:8443/v1"


@pytest.mark.parametrize(
    "text",
    [
        "ftp://h",
        "api.openai.com/v1",
        "https://",
        "https://user@h",
        "https://user:secretword@h",
        "https://h?a=1",
        "https://h?",
        "https://h#x",
        "https://h:0",
        "https://h:99999",
        "https://h:x",
        "https://[::1",
        "https://a b",
        "https://h/\\x",
        "https://h/\n",
        "https://bücher.example",
    ],
)
def test_a_wrong_origin_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"URL|port") as caught:
        Origin.parse(text)

    assert "secretword" not in str(caught.value)


def test_a_forward_proxy_has_its_credential_decoded() -> None:
    way_out = ForwardProxy.parse("http://us%40er:p%3Aw@proxy.internal:3128")

    assert way_out == ForwardProxy("proxy.internal", 3128, "us@er", "p:w")


def test_a_forward_proxy_needs_no_credential() -> None:
    assert ForwardProxy.parse("http://[::1]:3128/") == ForwardProxy("::1", 3128, None, None)


def test_a_forward_proxy_never_prints_its_credential() -> None:
    way_out = ForwardProxy.parse("http://username:password@h:3128")

    assert repr(way_out) == "ForwardProxy('http://***@h:3128')"
    assert str(way_out) == "http://***@h:3128"


@pytest.mark.parametrize("text", ["https://h:1", "http://h", "http://h:1/x", "http://h:1?x", "h:1", "socks5://h:1"])
def test_a_wrong_forward_proxy_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        ForwardProxy.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("10s", 10), ("0s", 0), ("1.5s", 1.5), ("5m", 300), ("2h", 7200), ("30d", 2592000), ("1ms", 0.001)],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "10 s", "-1s", "10S", "1e3s", "5min", "1h30m", "10s\n"])
def test_a_wrong_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration such as"):
        duration(text)


@pytest.mark.parametrize("text", ["0", "10", "2.5"])
def test_a_number_alone_is_told_that_it_has_no_unit(text: str) -> None:
    with pytest.raises(ValueError, match="no unit"):
        duration(text)


@pytest.mark.parametrize("text", ["0s", "250ms", "1500ms", "10s", "90s", "5m", "2h", "30d"])
def test_a_duration_is_written_in_the_largest_unit_that_fits(text: str) -> None:
    assert duration_text(duration(text)) == text


def test_sixty_seconds_are_written_as_a_minute() -> None:
    assert duration_text(60.0) == "1m"


@pytest.mark.parametrize(("text", "amount"), [("512B", 512), ("16KiB", 16384), ("32MiB", 32 << 20), ("1GiB", 1 << 30), ("0B", 0)])
def test_a_size_is_read_as_bytes_and_written_again(text: str, amount: int) -> None:
    assert size(text) == amount
    assert size_text(amount) == text


@pytest.mark.parametrize("text", ["", "32", "32MB", "1.5GiB", "-1B", "1 KiB"])
def test_a_wrong_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        size(text)


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("Yes", True), ("on", True), ("false", False), ("no", False), ("OFF", False)]
)
def test_a_flag_has_several_spellings(text: str, value: bool) -> None:
    assert flag(text) is value


def test_another_word_is_no_flag() -> None:
    with pytest.raises(ValueError, match="true or false"):
        flag("maybe")


@pytest.mark.parametrize("text", ["gpt-4o", "claude-*", "*/*", "us.anthropic.claude-v1:0", "models/Ünï"])
def test_a_name_pattern_may_hold_stars(text: str) -> None:
    assert name_pattern(text) == text


@pytest.mark.parametrize("text", ["gpt-?", "gpt-[45]", "{model}", "", "a b", "a\n"])
def test_other_wildcards_and_spaces_are_refused_in_a_name_pattern(text: str) -> None:
    with pytest.raises(ValueError, match=r"wildcard|without spaces"):
        name_pattern(text)
