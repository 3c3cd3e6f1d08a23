"""Cross-origin rules: who may read, who is told so, and what caches hear."""

from __future__ import annotations

import pytest

from proxy.handler.cors import Cors

APP = "https://app.example.com"
LOCAL = "http://localhost:3000"
VARY = (b"Vary", b"Origin")


def cors(*origins: str, max_age: float = 600.0) -> Cors:
    return Cors(origins, max_age)


@pytest.mark.parametrize("origin", [None, APP, "null", ""])
def test_without_origins_nothing_is_said(origin: str | None) -> None:
    rules = cors()

    assert rules.headers(origin) == []
    assert rules.preflight(origin, "POST") is None


@pytest.mark.parametrize("origin", [APP, LOCAL])
def test_configured_origin_may_read_and_is_named_itself(origin: str) -> None:
    headers = dict(cors(APP, LOCAL).headers(origin))

    assert headers[b"Access-Control-Allow-Origin"] == origin.encode()
    assert headers[b"Vary"] == b"Origin"
    exposed = headers[b"Access-Control-Expose-Headers"].split(b", ")
    assert {b"X-Request-Id", b"Retry-After", b"X-Should-Retry", b"Anthropic-RateLimit-Tokens-Reset"} <= set(exposed)


@pytest.mark.parametrize("wanted", [None, "POST"])
def test_credentials_are_never_allowed_along(wanted: str | None) -> None:
    """Tokens are sent by the page itself; a browser's cookies would go with any request."""
    rules = cors(APP)
    headers = rules.headers(APP) if wanted is None else rules.preflight(APP, wanted)

    assert headers is not None
    assert not [name for name, _ in headers if name.lower() == b"access-control-allow-credentials"]


def test_with_cookies_only_a_listed_origin_may_let_them_be_sent() -> None:
    rules = Cors([APP], 600.0, cookies=True)
    asked_first = rules.preflight(APP, "POST")

    assert asked_first is not None
    for headers in (rules.headers(APP), asked_first):
        assert dict(headers)[b"Access-Control-Allow-Credentials"] == b"true"
        assert dict(headers)[b"Access-Control-Allow-Origin"] == APP.encode()
        assert b"*" not in b" ".join(value for _, value in headers)
    assert rules.headers(LOCAL) == rules.headers("null") == rules.headers(None) == [VARY]


OTHERS = [
    "https://evil.example.com",
    "null",
    "",
    "*",
    "https://app.example.com:443",
    "https://app.example.com/",
    "https://APP.example.com",
    "http://app.example.com",
    "https://app.example.com.evil.com",
]


@pytest.mark.parametrize("origin", [None, *OTHERS])
def test_other_origin_is_not_named_but_caches_are_told(origin: str | None) -> None:
    assert cors(APP).headers(origin) == [VARY]


@pytest.mark.parametrize("origin", [None, *OTHERS])
def test_preflight_of_another_origin_is_not_ours_to_allow(origin: str | None) -> None:
    assert cors(APP).preflight(origin, "POST") is None


def test_options_without_a_wanted_method_is_no_preflight() -> None:
    assert cors(APP).preflight(APP, None) is None


def test_preflight_allows_methods_headers_and_its_age() -> None:
    allowed = cors(APP, max_age=90.5).preflight(APP, "POST")

    assert allowed is not None
    headers = dict(allowed)
    assert len(headers) == len(allowed)
    assert headers[b"Access-Control-Allow-Origin"] == APP.encode()
    assert headers[b"Access-Control-Max-Age"] == b"90"
    assert {b"GET", b"POST"} <= set(headers[b"Access-Control-Allow-Methods"].split(b", "))
    assert b"Origin" in headers[b"Vary"].split(b", ")
    assert b"Access-Control-Request-Headers" in headers[b"Vary"].split(b", ")


@pytest.mark.parametrize(
    "name",
    [
        b"Authorization",
        b"Content-Type",
        b"X-Api-Key",
        b"Last-Event-ID",
        b"OpenAI-Beta",
        b"Anthropic-Version",
        b"X-Stainless-Lang",
        b"Idempotency-Key",
        b"X-Test-Scenario",
    ],
)
def test_preflight_allows_what_official_clients_send(name: bytes) -> None:
    allowed = cors(APP).preflight(APP, "POST")

    assert allowed is not None
    assert name in dict(allowed)[b"Access-Control-Allow-Headers"].split(b", ")
