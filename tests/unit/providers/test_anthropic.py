from __future__ import annotations

import orjson
import pytest

from proxy import settings
from proxy.providers.anthropic import Anthropic
from proxy.providers.base import Asked, Refusal

CONFIG = settings.Upstream(kind="anthropic")
ANTHROPIC = Anthropic(CONFIG, b"")


def judged(status: int, kind: str = "invalid_request_error", message: str = "m", code: str = "") -> Refusal:
    error: dict[str, object] = {"type": kind, "message": message}
    if code:
        error["details"] = {"error_code": code}
    return ANTHROPIC.refusal(status, {}, orjson.dumps({"type": "error", "error": error, "request_id": "req_1"}))


@pytest.mark.parametrize(
    ("base", "path"),
    [(b"", b""), (b"/", b""), (b"/v1", b""), (b"/v1/", b""), (b"/anthropic", b"/anthropic"), (b"/anthropic/v1", b"/anthropic")],
)
def test_a_path_goes_below_the_configured_base_with_or_without_its_version(base: bytes, path: bytes) -> None:
    target = Anthropic(CONFIG, base).target(Asked("messages", b"/v1/messages", b"?beta=true", "any-model"))

    assert target == path + b"/v1/messages?beta=true"


def test_all_models_are_listed_in_one_page() -> None:
    assert ANTHROPIC.target(Asked("models", b"/v1/models")) == b"/v1/models?limit=1000"


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        ("", ()),
        ("sk-ant-api03-x", ((b"x-api-key", b"sk-ant-api03-x"),)),
        ("anything", ((b"x-api-key", b"anything"),)),
        ("sk-ant-oat01-x", ((b"Authorization", b"Bearer sk-ant-oat01-x"),)),
    ],
)
def test_the_credential_is_a_key_or_the_token_of_a_login(key: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    assert ANTHROPIC.credential(key) == headers


def test_a_request_without_a_version_gets_the_one_that_knows_every_parameter() -> None:
    assert ANTHROPIC.defaults == ((b"anthropic-version", b"2023-06-01"),)


@pytest.mark.parametrize(
    ("status", "kind", "refusal"),
    [
        (400, "invalid_request_error", Refusal("refused", transient=False)),
        (401, "authentication_error", Refusal("credentials", transient=True)),
        (402, "billing_error", Refusal("spend_limit", transient=True)),
        (403, "permission_error", Refusal("credentials", transient=True)),
        (404, "not_found_error", Refusal("refused", transient=False)),
        (408, "timeout_error", Refusal("refused", transient=True)),
        (409, "conflict_error", Refusal("refused", transient=True)),
        (413, "request_too_large", Refusal("refused", transient=False)),
        (429, "rate_limit_error", Refusal("rate_limited", transient=True)),
        (500, "api_error", Refusal("server_error", transient=True)),
        (503, "api_error", Refusal("overloaded", transient=True)),
        (504, "timeout_error", Refusal("server_error", transient=True)),
        (529, "overloaded_error", Refusal("overloaded", transient=True)),
    ],
)
def test_a_refusal_is_judged_by_its_status(status: int, kind: str, refusal: Refusal) -> None:
    assert judged(status, kind) == refusal
    assert ANTHROPIC.refusal(status, {}, b"<html>") == refusal


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
@pytest.mark.parametrize("status", [400, 403, 429])
def test_a_word_about_money_says_that_asking_again_there_is_no_use(status: int, code: str) -> None:
    assert judged(status, "rate_limit_error", code=code) == Refusal("spend_limit", transient=True)


def test_a_limit_that_is_over_in_seconds_is_not_about_money() -> None:
    assert judged(429, "rate_limit_error", code="ramp_limit_exceeded") == Refusal("rate_limited", transient=True)


@pytest.mark.parametrize("whose", ["", "workspace "])
def test_a_limit_that_the_owner_has_set_is_about_money(whose: str) -> None:
    message = f"You have reached your specified {whose}API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."

    assert judged(400, message=message) == Refusal("spend_limit", transient=True)
    assert judged(429, message=message) == Refusal("rate_limited", transient=True)
    assert judged(400, message="messages: " + message) == Refusal("refused", transient=False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"error":null}',
        b'{"error":"boom"}',
        b'{"error":{"details":7}}',
        b'{"error":{"details":{"error_code":[]}}}',
        b'{"error":{"message":[1]}}',
        b"\xff",
    ],
)
def test_a_body_of_any_kind_leaves_the_status_to_speak(body: bytes) -> None:
    assert ANTHROPIC.refusal(429, {}, body).reason == "rate_limited"
    assert ANTHROPIC.refusal(400, {}, body).reason == "refused"


def test_its_own_id_of_a_request_is_found() -> None:
    assert ANTHROPIC.request_id({b"request-id": b"req_1"}) == "req_1"


def test_it_speaks_anthropic_s_apis() -> None:
    assert ANTHROPIC.apis == {"messages", "count_tokens", "models"}
