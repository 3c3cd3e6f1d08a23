from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy import settings
from proxy.providers.base import Asked, Refusal
from proxy.providers.gemini import Gemini

CONFIG = settings.Upstream(kind="gemini")
GEMINI = Gemini(CONFIG, b"")
FLASH = b"/v1beta/models/gemini-2.5-flash:generateContent"


def asked(path: bytes, model: str, query: bytes = b"") -> Asked:
    return Asked("gemini", path, query, model)


def error(code: int, status: str, *reasons: str) -> dict[str, Any]:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason} for reason in reasons]
    return {"error": {"code": code, "message": "m", "status": status, "details": details}}


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (FLASH, "gemini-2.5-flash"),
        (b"/v1/models/gemini-2.5-flash:streamGenerateContent", "gemini-2.5-flash"),
        (b"/v1beta/models/gemini%2D2.5-flash:countTokens", "gemini-2.5-flash"),
        (b"/v1beta/models/tuned%2fone:generateContent", "tuned/one"),
        (b"/v1beta/models/a:b:generateContent", "a:b"),
    ],
)
def test_a_path_stays_as_the_client_wrote_it(path: bytes, model: str) -> None:
    assert GEMINI.target(asked(path, model, b"?alt=sse")) == path + b"?alt=sse"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-pro", b"/v1beta/models/gemini-2.5-pro:generateContent"),
        ("a b/c:1?#%", b"/v1beta/models/a%20b%2Fc%3A1%3F%23%25:generateContent"),
        ("mod\u00e8le", b"/v1beta/models/mod%C3%A8le:generateContent"),
    ],
)
def test_only_another_model_is_put_in_its_place(model: str, path: bytes) -> None:
    assert GEMINI.target(asked(FLASH, model)) == path


@pytest.mark.parametrize(
    ("base", "path"),
    [
        (b"/", FLASH),
        (b"/v1beta", FLASH),
        (b"/v1", FLASH),
        (b"/google/v1beta/", b"/google" + FLASH),
        (b"/google", b"/google" + FLASH),
    ],
)
def test_a_base_may_name_its_version_and_the_client_s_counts(base: bytes, path: bytes) -> None:
    assert Gemini(CONFIG, base).target(asked(FLASH, "gemini-2.5-flash")) == path


def test_it_speaks_its_own_api_only() -> None:
    assert GEMINI.apis == {"gemini", "gemini_tokens", "models"}


@pytest.mark.parametrize("base", [b"/", b"/v1beta", b"/v1"])
def test_it_is_asked_for_as_many_models_as_a_page_may_have(base: bytes) -> None:
    assert Gemini(CONFIG, base).target(Asked("models", b"/v1/models")) == b"/v1beta/models?pageSize=1000"


def test_the_key_has_a_header_of_its_own() -> None:
    assert GEMINI.credential("AIza") == ((b"x-goog-api-key", b"AIza"),)
    assert GEMINI.credential("") == ()


def test_no_body_need_name_the_model() -> None:
    assert not GEMINI.reads_model("gemini")


@pytest.mark.parametrize(
    ("status", "body", "refusal"),
    [
        (400, error(400, "INVALID_ARGUMENT"), Refusal("refused", transient=False)),
        (400, error(400, "INVALID_ARGUMENT", "API_KEY_INVALID"), Refusal("credentials", transient=True)),
        (400, error(400, "INVALID_ARGUMENT", "API_KEY_EXPIRED"), Refusal("credentials", transient=True)),
        (400, [error(400, "INVALID_ARGUMENT", "API_KEY_INVALID")], Refusal("credentials", transient=True)),
        (400, {"error": {"details": [7, {"reason": []}]}}, Refusal("refused", transient=False)),
        (400, {"error": {"details": 7}}, Refusal("refused", transient=False)),
        (400, error(400, "FAILED_PRECONDITION"), Refusal("refused", transient=False)),
        (401, error(401, "UNAUTHENTICATED"), Refusal("credentials", transient=True)),
        (403, error(403, "PERMISSION_DENIED"), Refusal("credentials", transient=True)),
        (404, error(404, "NOT_FOUND"), Refusal("refused", transient=False)),
        (408, "", Refusal("refused", transient=True)),
        (409, error(409, "ABORTED"), Refusal("refused", transient=True)),
        (429, error(429, "RESOURCE_EXHAUSTED"), Refusal("rate_limited", transient=True)),
        (429, "<html>", Refusal("rate_limited", transient=True)),
        (499, error(499, "CANCELLED"), Refusal("server_error", transient=True)),
        (500, error(500, "INTERNAL"), Refusal("server_error", transient=True)),
        (503, error(503, "UNAVAILABLE"), Refusal("overloaded", transient=True)),
        (504, error(504, "DEADLINE_EXCEEDED"), Refusal("server_error", transient=True)),
    ],
)
def test_a_refusal_is_judged_by_status_and_reason(status: int, body: object, refusal: Refusal) -> None:
    assert GEMINI.refusal(status, {}, orjson.dumps(body)) == refusal
