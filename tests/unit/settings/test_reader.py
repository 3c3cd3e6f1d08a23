from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.settings import Address, Settings, SettingsError, json_schema, load

EXAMPLE = Path(__file__).resolve().parents[3] / "config" / "proxy.example.yaml"
SECRET = "0123456789abcdef0123456789abcdef"


def listens(port: int) -> str:
    return f"listen: 127.0.0.1:{port}"


def test_the_example_is_the_whole_contract_and_parses() -> None:
    settings = load(str(EXAMPLE), {"JWT_SECRET": SECRET})

    assert settings.source == str(EXAMPLE)
    assert list(settings.upstreams) == ["openai", "openrouter", "claude", "bedrock", "demo"]
    assert [model.name for model in settings.models] == ["gpt-4o-mini", "claude-*", "demo-*"]
    assert settings.auth.jwt[1].secret.get_secret_value() == SECRET
    assert settings.streaming_for(settings.models[1]).first_token_timeout == 900.0
    assert settings.streaming_for(settings.models[0]) == settings.streaming


def test_the_example_says_the_defaults() -> None:
    """What the file shows with a value is what one gets without the file."""
    shown, default = load(str(EXAMPLE), {"JWT_SECRET": SECRET}), load(None, {})

    for name in (
        "listen", "workers", "worker_timeout", "trusted_proxies", "admin", "cors", "limits", "streaming", "retry", "circuit", "drain",
        "chat_endpoints", "diagnostics", "usage", "log",
    ):  # fmt: skip
        assert getattr(shown, name) == getattr(default, name), name
    assert shown.auth.tickets == default.auth.tickets
    assert shown.auth.cookie == default.auth.cookie
    assert shown.auth.query_token == default.auth.query_token
    assert shown.upstreams["openai"].model_dump(exclude={"base_url"}) == {
        **shown.upstreams["openrouter"].model_dump(exclude={"base_url"}),
    }


def test_the_example_is_not_picked_up_by_itself() -> None:
    Path("config").mkdir()
    Path("config/proxy.example.yaml").write_text(listens(1))

    assert load(None, {}).source == "environment"


def test_the_option_comes_before_the_variable_before_the_usual_place() -> None:
    Path("config").mkdir()
    Path("config/proxy.yaml").write_text(listens(1))
    Path("variable.yaml").write_text(listens(2))
    Path("option.yaml").write_text(listens(3))

    assert load(None, {}).listen.port == 1
    assert load(None, {"LLM_PROXY_CONFIG": "variable.yaml"}).listen.port == 2
    assert load("option.yaml", {"LLM_PROXY_CONFIG": "variable.yaml"}).listen.port == 3
    assert load(None, {"LLM_PROXY_CONFIG": ""}).source == "config/proxy.yaml"


@pytest.mark.parametrize(("config", "environ"), [("none.yaml", {}), (None, {"LLM_PROXY_CONFIG": "none.yaml"})])
def test_a_file_that_was_asked_for_must_be_there(config: str | None, environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: the file cannot be read"):
        load(config, environ)


def test_an_unknown_variable_alone_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="environment variable LLM_PROXY_LISTN: there is no such setting"):
        load(None, {"LLM_PROXY_LISTN": "127.0.0.1:1"})


def test_options_win_over_everything(load_text: Any) -> None:
    Path("c.yaml").write_text(listens(1))

    settings = load("c.yaml", {"LLM_PROXY_LISTEN": "127.0.0.1:2"}, options={"listen": "[::1]:3", "workers": "4"})

    assert settings.listen == Address("::1", 3)
    assert settings.workers == 4


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(SettingsError, match="option --workers workers: expected a whole number"):
        load(None, {}, options={"workers": "many"})


def test_everything_that_is_wrong_is_reported_together(complaints: Any) -> None:
    lines = complaints(
        "listen: :8080\n"
        "workers: ${WORKERS}\n"
        "upstreams:\n"
        "  a: {kind: openai, api_key_file: /none}\n"
        "  a: {kind: openai}\n"
        "models: [{name: m, targets: [{upstream: b}]}]\n"
        "log: {color: true}\n",
        LLM_PROXY_NOPE="1",
        LLM_PROXY_CORS__ORIGINS="*",
    )

    assert [line.split(" ")[0] for line in lines] == [
        "c.yaml:1:9", "c.yaml:2:10", "c.yaml:4:35", "c.yaml:5:3", "c.yaml:6:41", "c.yaml:7:7", "environment", "environment",
    ]  # fmt: skip


def test_a_value_that_cannot_be_read_draws_no_further_complaints(complaints: Any) -> None:
    text = "auth:\n  jwt: [{issuer: i, audience: a, algorithms: [HS256], secret: '${JWT_SECRET}'}]\nlisten: 0.0.0.0:80"

    assert complaints(text) == [
        (
            "c.yaml:2:63 auth.jwt.0.secret: the environment variable JWT_SECRET is not set: "
            "set it, or write ${JWT_SECRET:-} if it may be missing"
        )
    ]


def test_an_override_mends_a_reference_without_a_value(load_text: Any) -> None:
    text = "upstreams: {a: {kind: openai, api_key: '${NOPE}'}}"

    settings = load_text(text, LLM_PROXY_UPSTREAMS__A__API_KEY="sk")

    assert settings.upstreams["a"].api_key.get_secret_value() == "sk"


def test_an_override_can_name_a_secret_s_file(load_text: Any) -> None:
    Path("key").write_text("from-file\n")
    text = "upstreams: {a: {kind: openai, api_key: written}}"

    settings = load_text(text, LLM_PROXY_UPSTREAMS__A__API_KEY_FILE="key")

    assert settings.upstreams["a"].api_key.get_secret_value() == "from-file"


def test_a_secret_in_the_wrong_place_is_not_repeated(complaints: Any) -> None:
    text = """
listen: hunter2
workers: hunter2
limits: {body: hunter2, write_stall: hunter2, streams: hunter2}
auth: {api_keys: [{id: "hunter2 x", sha256: hunter2}], cookie: "hunter2;", allow_anonymous: hunter2}
cors: {origins: [hunter2]}
trusted_proxies: [hunter2]
upstreams:
  a: {kind: hunter2, base_url: "https://hunter2@h", api_key: "hunter2 x", proxy: "hunter2", headers: {X: "hunter2\\n"}}
  b: {kind: openai, base_url: "${KEY}", passthrough: ["${KEY}"], max_connections: "${KEY}"}
usage: {store: "mysql://u:hunter2@h/db"}
log: {level: hunter2}
"""

    lines = complaints(text, KEY="hunter2", LLM_PROXY_CIRCUIT__FAILURES="hunter2")

    assert len(lines) == 22
    assert not any("hunter2" in line for line in lines)


def test_the_error_has_no_cause_that_would_repeat_values(load_text: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        load_text("workers: x")

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_schema_describes_every_section() -> None:
    schema = json_schema()

    assert schema["properties"].keys() == {
        "listen", "workers", "worker_timeout", "trusted_proxies", "admin", "auth", "cors", "limits", "streaming", "retry", "circuit", "drain",
        "upstreams", "models", "chat_endpoints", "diagnostics", "usage", "log",
    }  # fmt: skip
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Streaming"]["properties"]["commit_after"]["type"] == "string"
    assert {"api_key", "api_key_file"} <= schema["$defs"]["Upstream"]["properties"].keys()


def test_the_defaults_of_the_schema_are_such_as_a_file_may_have() -> None:
    """An editor writes them into the file."""
    schema = json_schema()
    sections = {"Settings": schema, **schema["$defs"]}
    shown = {
        name: {key: each["default"] for key, each in section["properties"].items() if "default" in each}
        for name, section in sections.items()
    }

    assert (shown["Settings"]["listen"], shown["Admin"]["listen"]) == ("127.0.0.1:8080", "127.0.0.1:9090")
    assert (shown["Streaming"]["commit_after"], shown["Retry"]["backoff_base"], shown["Limits"]["body"]) == (
        "5s",
        "250ms",
        "32MiB",
    )
    assert shown["StreamingOverrides"] == {}, "they are those of `streaming`"
    assert Settings.model_validate(shown["Settings"]) == Settings()
