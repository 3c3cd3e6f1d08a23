from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from proxy import settings
from proxy.providers.base import Asked, Refusal
from proxy.providers.openai import OpenAi

CONFIG = settings.Upstream(kind="openai")
OPENAI = OpenAi(CONFIG, b"/v1")


def judged(status: int, body: bytes | dict[str, object] = b"") -> Refusal:
    return OPENAI.refusal(status, {}, body if isinstance(body, bytes) else orjson.dumps(body))


@pytest.mark.parametrize(
    ("base", "public", "path"),
    [
        (b"/v1", b"/v1/chat/completions", b"/v1/chat/completions"),
        (b"/api/v1", b"/v1/chat/completions", b"/api/v1/chat/completions"),
        (b"", b"/v1/models", b"/models"),
        (b"/openai/v1", b"/v1/audio/speech", b"/openai/v1/audio/speech"),
        (b"/v1", b"/v1/x%2Fy/v1/z", b"/v1/x%2Fy/v1/z"),
    ],
)
def test_a_path_goes_below_the_configured_base_byte_for_byte(base: bytes, public: bytes, path: bytes) -> None:
    assert OpenAi(CONFIG, base).target(Asked("chat", public, b"?a=1", "any-model")) == path + b"?a=1"


def test_the_credential_is_a_bearer_key() -> None:
    assert OPENAI.credential("sk-1") == ((b"Authorization", b"Bearer sk-1"),)
    assert OPENAI.credential("") == ()


@pytest.mark.parametrize(
    ("status", "body", "refusal"),
    [
        (400, {"error": {"code": "context_length_exceeded"}}, Refusal("refused", transient=False)),
        (404, {"error": {"code": "model_not_found"}}, Refusal("refused", transient=False)),
        (413, b"", Refusal("refused", transient=False)),
        (422, {"detail": [{"msg": "m"}]}, Refusal("refused", transient=False)),
        (408, b"", Refusal("refused", transient=True)),
        (409, b"", Refusal("refused", transient=True)),
        (429, {"error": {"code": "rate_limit_exceeded"}}, Refusal("rate_limited", transient=True)),
        (429, b"<html>", Refusal("rate_limited", transient=True)),
        (500, {"error": {"type": "server_error"}}, Refusal("server_error", transient=True)),
        (502, {"error": {"code": 502, "message": "provider down"}}, Refusal("server_error", transient=True)),
        (504, b"", Refusal("server_error", transient=True)),
        (524, b"", Refusal("server_error", transient=True)),
        (
            503,
            {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
            Refusal("overloaded", transient=True),
        ),
        (529, b"", Refusal("overloaded", transient=True)),
        (498, {"error": {"code": "capacity_exceeded"}}, Refusal("overloaded", transient=True)),
        (401, {"error": {"code": "invalid_api_key"}}, Refusal("credentials", transient=True)),
        (403, {"error": {"message": "unsupported region"}}, Refusal("credentials", transient=True)),
        (403, {"error": {"code": 403, "metadata": {"provider_name": "p"}}}, Refusal("credentials", transient=True)),
        (
            403,
            {"error": {"code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "x"}}},
            Refusal("refused", transient=False),
        ),
        (402, {"error": {"code": 402, "message": "no credits"}}, Refusal("spend_limit", transient=True)),
        (402, b"", Refusal("spend_limit", transient=True)),
    ],
)
def test_a_refusal_is_judged_by_its_status_and_words(status: int, body: bytes | dict[str, object], refusal: Refusal) -> None:
    assert judged(status, body) == refusal


@pytest.mark.parametrize(
    "word",
    [
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_hard_limit_reached",
        "billing_not_active",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "project_spend_limit_exceeded",
    ],
)
@pytest.mark.parametrize("status", [400, 403, 429])
def test_a_word_about_money_says_that_asking_again_there_is_no_use(status: int, word: str) -> None:
    for error in (
        {"code": word},
        {"type": word},
        {"code": None, "type": word},
        {"code": "rate_limit", "type": word},
        {"code": 429, "type": word},
    ):
        assert judged(status, {"error": error}) == Refusal("spend_limit", transient=True), error


@pytest.mark.parametrize(
    "wrap", [lambda error: {"error": error}, lambda error: {"object": "error", **error}, lambda error: [{"error": error}]]
)
def test_the_words_are_found_in_each_form_of_an_error(wrap: Callable[[dict[str, str]], Any]) -> None:
    body = orjson.dumps(wrap({"code": "insufficient_quota", "message": "m"}))

    assert judged(429, body).reason == "spend_limit"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"[1]",
        b"null",
        b'{"error":null}',
        b'{"error":"boom"}',
        b'{"error":{"code":[1]}}',
        b'{"error":{"metadata":1}}',
        b"\xff",
    ],
)
def test_a_body_of_any_kind_leaves_the_status_to_speak(body: bytes) -> None:
    assert judged(429, body).reason == "rate_limited"
    assert judged(403, body).reason == "credentials"
    assert judged(500, body).reason == "server_error"


def test_it_speaks_openai_s_apis() -> None:
    assert OPENAI.apis == {"chat", "completions", "responses", "embeddings", "moderations", "images", "audio", "models"}


def test_an_upstream_speaks_only_what_its_configuration_leaves_it() -> None:
    config = settings.Upstream.model_validate({"kind": "openai", "apis": ["chat", "messages"]})

    assert OpenAi(config, b"/v1").apis == {"chat"}
