from __future__ import annotations

from typing import Any

import pytest

from proxy.settings.document import Document
from proxy.settings.overrides import apply_environment, apply_options, variable


def applied(data: dict[str, Any] | None = None, /, **environ: str) -> Document:
    document = Document("c.yaml", data=data or {})
    apply_environment(document, environ)
    return document


def strays(**environ: str) -> list[str]:
    return [str(problem) for problem in applied(None, **environ).strays]


def test_a_variable_sets_a_value_at_any_depth() -> None:
    document = applied(
        {"upstreams": {"my-openai": {"kind": "openai"}}, "models": [{"name": "a"}]},
        LLM_PROXY_LISTEN="127.0.0.1:1",
        LLM_PROXY_ADMIN__LISTEN="127.0.0.1:2",
        LLM_PROXY_AUTH__TICKETS__TTL="1s",
        LLM_PROXY_UPSTREAMS__MY_OPENAI__API_KEY="sk$1",
        LLM_PROXY_MODELS__0__STREAMING__COMMIT_AFTER="0s",
    )

    assert document.data == {
        "listen": "127.0.0.1:1",
        "admin": {"listen": "127.0.0.1:2"},
        "auth": {"tickets": {"ttl": "1s"}},
        "upstreams": {"my-openai": {"kind": "openai", "api_key": "sk$1"}},
        "models": [{"name": "a", "streaming": {"commit_after": "0s"}}],
    }
    assert document.strays == []


def test_the_place_of_an_override_is_its_variable() -> None:
    document = applied(LLM_PROXY_LISTEN="x")

    assert document.where(("listen",)) == "environment variable LLM_PROXY_LISTEN"


def test_the_file_s_value_gives_way() -> None:
    assert applied({"log": {"level": "info"}}, LLM_PROXY_LOG__LEVEL="debug").data == {"log": {"level": "debug"}}


def test_a_list_of_single_values_is_separated_by_commas() -> None:
    document = applied(LLM_PROXY_CORS__ORIGINS="https://a.b, https://c.d,")

    assert document.data == {"cors": {"origins": ["https://a.b", "https://c.d"]}}


def test_an_empty_variable_counts_as_not_set() -> None:
    """Compose files pass `${VAR:-}` on as an empty variable."""
    assert applied({"listen": "x"}, LLM_PROXY_LISTEN="").data == {"listen": "x"}


def test_null_takes_a_value_back_to_its_default() -> None:
    assert applied({"usage": {"store": "x"}}, LLM_PROXY_USAGE__STORE="null").data == {"usage": {"store": None}}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("LLM_PROXY_LISTN", "LLM_PROXY_LISTEN"),
        ("LLM_PROXY_listen", "LLM_PROXY_LISTEN"),
        ("LLM_PROXY_STREAMING_KEEPALIVE_INTERVAL", "LLM_PROXY_STREAMING__KEEPALIVE_INTERVAL"),
        ("LLM_PROXY_API_KEY", "LLM_PROXY_API_KEYS"),
        ("LLM_PROXY_PORT", "LLM_PROXY_LISTEN"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known_one(name: str, near: str) -> None:
    assert strays(**{name: "8080"}) == [f"environment variable {name}: there is no such setting; did you mean {near}?"]


def test_a_far_off_variable_is_told_how_names_are_made() -> None:
    assert "names are LLM_PROXY_<SECTION>__<KEY>" in strays(LLM_PROXY_XYZZY="1")[0]


def test_an_upstream_that_does_not_exist_cannot_be_overridden() -> None:
    assert strays(LLM_PROXY_UPSTREAMS__OPENAI__API_KEY="x")


@pytest.mark.parametrize("name", ["CONFIG", "API_KEYS", "JWT_SECRET", "KEY", "TESTS_STRICT", "TESTS_ANYTHING"])
def test_variables_with_a_meaning_of_their_own_are_left_alone(name: str) -> None:
    document = applied(None, **{f"LLM_PROXY_{name}": "x"})

    assert document.strays == []
    assert document.data == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLM_PROXY_SERVICE_HOST", "10.0.0.1"),
        ("LLM_PROXY_SERVICE_PORT", "8080"),
        ("LLM_PROXY_SERVICE_PORT_HTTP", "8080"),
        ("LLM_PROXY_PORT", "tcp://10.0.0.1:8080"),
        ("LLM_PROXY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("LLM_PROXY_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_what_kubernetes_says_of_a_service_named_llm_proxy_is_no_mistake(name: str, value: str) -> None:
    assert strays(**{name: value}) == []


def test_another_program_s_variables_are_none_of_ours() -> None:
    assert strays(LLM_PROX="x", MY_LLM_PROXY_X="x") == []


def test_the_heartbeat_variable_sets_the_keepalive_interval() -> None:
    document = applied({"streaming": {"keepalive_interval": "3s"}}, OPENAI_SSE_HEARTBEAT_MS="15000")

    assert document.data == {"streaming": {"keepalive_interval": "15000ms"}}


def test_our_own_variable_wins_over_the_heartbeat() -> None:
    document = applied(OPENAI_SSE_HEARTBEAT_MS="x", LLM_PROXY_STREAMING__KEEPALIVE_INTERVAL="2s")

    assert document.data == {"streaming": {"keepalive_interval": "2s"}}
    assert document.broken == {}


@pytest.mark.parametrize("value", ["0", "15s", "-1", "1.5"])
def test_a_wrong_heartbeat_is_refused(value: str) -> None:
    document = applied(OPENAI_SSE_HEARTBEAT_MS=value)

    assert str(document.broken["streaming", "keepalive_interval"]).startswith(
        "environment variable OPENAI_SSE_HEARTBEAT_MS streaming.keepalive_interval: expected milliseconds"
    )


def test_an_empty_heartbeat_counts_as_not_set() -> None:
    assert applied(OPENAI_SSE_HEARTBEAT_MS="").data == {}


def test_the_command_line_wins_over_the_environment() -> None:
    document = applied(LLM_PROXY_LISTEN="a")

    apply_options(document, {"listen": "b"})

    assert document.data == {"listen": "b"}
    assert document.where(("listen",)) == "option --listen"


def test_a_variable_s_name_holds_letters_and_digits_only() -> None:
    assert variable(("upstreams", "my.open-ai", "api_key")) == "LLM_PROXY_UPSTREAMS__MY_OPEN_AI__API_KEY"
