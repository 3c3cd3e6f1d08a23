from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.settings import Address, Settings, SettingsError, Streaming

KEY = {"id": "ci", "sha256": "0" * 64}


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()

    assert settings.listen == Address("127.0.0.1", 8080)
    assert settings.admin.listen == Address("127.0.0.1", 9090)
    assert settings.trusted_proxies == (ip_network("127.0.0.1/32"), ip_network("::1/128"))
    assert settings.source == "code"


def test_the_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().workers = 2


def test_a_model_s_clocks_are_laid_over_the_general_ones() -> None:
    settings = Settings.model_validate(
        {
            "streaming": {"idle_timeout": "7s"},
            "upstreams": {"a": {"kind": "simulator"}},
            "models": [{"name": "m", "targets": [{"upstream": "a"}], "streaming": {"first_token_timeout": "900s"}}],
        }
    )

    assert settings.streaming_for(settings.models[0]) == Streaming(idle_timeout=7.0, first_token_timeout=900.0)


@pytest.mark.parametrize(
    ("auth", "expected"),
    [({}, True), ({"api_keys": [KEY]}, False), ({"api_keys": [KEY], "allow_anonymous": True}, True)],
)
def test_anonymous_use_is_allowed_on_purpose_or_for_want_of_credentials(auth: dict[str, Any], expected: bool) -> None:
    assert Settings.model_validate({"auth": auth}).anonymous_allowed is expected


def test_contradictions_are_reported_with_mistakes_inside_the_sections() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"listen": "0.0.0.0:80", "workers": 0, "cors": {"origins": ["*"]}, "nope": 1})

    assert {error["loc"] for error in caught.value.errors()} == {("listen",), ("workers",), ("cors", "origins", 0), ("nope",)}


def test_a_contradiction_alone_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"listen": "0.0.0.0:80"})

    assert [error["loc"] for error in caught.value.errors()] == [("listen",)]


def test_the_backoff_s_cap_is_not_below_its_base(complaints: Any) -> None:
    lines = complaints("retry: {backoff_base: 10s}")

    assert lines == ["c.yaml:1:8 retry: backoff_cap must not be shorter than backoff_base"]


@pytest.mark.parametrize("status", ["200", "399", "600", "x"])
def test_a_status_to_retry_is_an_error_status(complaints: Any, status: str) -> None:
    assert complaints(f"retry: {{statuses: [{status}]}}")[0].startswith("c.yaml:1:20 retry.statuses.0: expected")


def test_the_masked_settings_are_json_without_a_secret(load_text: Any) -> None:
    text = """
auth:
  jwt: [{issuer: i, audience: a, algorithms: [HS256], secret: hunter2-hunter2-hunter2-hunter2-}]
upstreams:
  a: {kind: openai, api_key: hunter2, proxy: "http://u:hunter2@h:1", headers: {X-Key: hunter2}}
usage: {store: "postgresql://u:hunter2@h/db"}
"""
    settings = load_text(text)

    masked = json.dumps(settings.masked())

    assert "hunter2" not in masked
    assert "hunter2" not in repr(settings)
    assert '"api_key": "***"' in masked
    assert '"store": "***"' in masked


def test_the_masked_settings_can_be_loaded_again(load_text: Any) -> None:
    settings = load_text("limits: {body: 1MiB, write_stall: 90s}\nstreaming: {commit_after: 0s}\nlisten: '[::1]:0'")

    again = Settings.model_validate(settings.masked())

    assert again.limits == settings.limits
    assert again.streaming == settings.streaming
    assert again.listen == settings.listen


def test_a_problem_in_the_settings_is_a_settings_error(load_text: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        load_text("workers: x")

    assert caught.value.problems[0].path == "workers"


@pytest.mark.parametrize(
    ("auth", "host", "exposed"),
    [
        ({}, "127.0.0.1", False),
        ({}, "192.0.2.1", True),
        ({"api_keys": [KEY]}, "192.0.2.1", False),
        ({"allow_anonymous": True}, "192.0.2.1", False),
    ],
)
def test_a_door_is_open_by_mistake_where_others_reach_it_and_nobody_has_asked_for_that(
    auth: dict[str, Any], host: str, exposed: bool
) -> None:
    assert Settings.model_validate({"auth": auth}).exposed_at(Address(host, 8080)) is exposed
