from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from proxy import __version__
from proxy.banner import banner, clients, credential
from proxy.globs import Glob
from proxy.settings import Settings, Upstream, load

KEY = {"id": "ci", "sha256": "0" * 64}
ISSUER = {"issuer": "my-app", "audience": "a", "algorithms": ["HS256"], "secret": "s" * 32}


def settings(**data: Any) -> Settings:
    return Settings.model_validate(data)


def shown(of: Settings, listening: str = "127.0.0.1:8080", simulated: tuple[str, ...] = ()) -> str:
    return banner(of, listening=listening, admin="127.0.0.1:9090", simulated=simulated)


def command(of: Settings, listening: str = "127.0.0.1:8080") -> list[str]:
    """The one command line, taken apart the way a shell does."""
    (line,) = (line for line in shown(of, listening).splitlines() if "curl -N" in line)
    return shlex.split(line)


def model(of: Settings) -> Any:
    words = command(of)
    return json.loads(words[words.index("-d") + 1])["model"]


def one(name: str, kind: str = "openai", **upstream: Any) -> Settings:
    return settings(upstreams={"a": {"kind": kind, **upstream}}, models=[{"name": name, "targets": [{"upstream": "a"}]}])


def test_the_banner_says_what_listens_and_where_the_settings_are_from() -> None:
    text = shown(load(None, {}))

    assert f"llm-proxy {__version__}" in text
    assert "listening  http://127.0.0.1:8080\n" in text
    assert "admin      http://127.0.0.1:9090\n" in text
    assert "settings   environment\n" in text


def test_the_banner_says_which_keys_are_there_and_never_shows_one() -> None:
    text = shown(settings(upstreams={"a": {"kind": "openai", "api_key": "sk-1234"}, "bb": {"kind": "anthropic"}}))

    assert "a   openai     key present\n" in text
    assert "bb  anthropic  key absent\n" in text
    assert "sk-1234" not in text


def test_the_banner_says_that_no_upstream_is_there() -> None:
    assert "upstreams  none is configured\n" in shown(settings())


@pytest.mark.parametrize(
    ("upstream", "words"),
    [
        ({"kind": "openai", "api_key": "x"}, "key present"),
        ({"kind": "openai"}, "key absent"),
        ({"kind": "simulator"}, "no key needed"),
        ({"kind": "bedrock"}, "AWS credentials"),
        ({"kind": "bedrock", "api_key": "x"}, "key present"),
    ],
)
def test_an_upstream_s_credential_is_present_or_absent(upstream: dict[str, str], words: str) -> None:
    assert credential(Upstream.model_validate(upstream)) == words


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ({}, "anybody on this machine (no credential is configured)"),
        ({"allow_anonymous": True, "api_keys": [KEY]}, "anybody, without a credential (auth.allow_anonymous)"),
        ({"api_keys": [KEY]}, "1 API key"),
        ({"api_keys": [KEY, {"id": "b", "sha256": "1" * 64}]}, "2 API keys"),
        ({"jwt": [ISSUER]}, "tokens of my-app"),
        ({"api_keys": [KEY], "jwt": [ISSUER]}, "1 API key and tokens of my-app"),
    ],
)
def test_the_banner_says_how_clients_authenticate(auth: dict[str, Any], words: str) -> None:
    of = settings(auth=auth)

    assert clients(of) == words
    assert f"clients    {words}\n" in shown(of)


def test_the_banner_says_plainly_that_only_the_simulator_answers() -> None:
    text = shown(load(None, {}), simulated=("demo",))

    assert "simulator  answers everything with scripted text: no real upstream is configured" in text


def test_the_banner_says_for_whom_the_simulator_answers() -> None:
    text = shown(settings(upstreams={"a": {"kind": "openai"}, "demo": {"kind": "simulator"}}), simulated=("demo",))

    assert "simulator  answers for demo with scripted text\n" in text


def test_without_a_simulator_the_banner_does_not_speak_of_it() -> None:
    assert "simulator" not in shown(load(None, {"OPENAI_API_KEY": "x"}))


def test_there_is_one_command_and_it_streams_a_chat_completion() -> None:
    words = command(load(None, {"OPENAI_API_KEY": "x"}))

    assert words[:3] == ["curl", "-N", "http://127.0.0.1:8080/v1/chat/completions"]
    assert words[3:6] == ["-H", "Content-Type: application/json", "-d"]
    assert json.loads(words[6]) == {
        "model": "gpt-4o-mini",
        "stream": True,
        "messages": [{"role": "user", "content": "Tell me about reverse proxies"}],
    }


def test_the_command_carries_a_credential_only_where_one_is_asked_for() -> None:
    line = shown(settings(auth={"api_keys": [KEY]}))

    assert '-H "Authorization: Bearer $LLM_PROXY_KEY"' in line
    assert "LLM_PROXY_KEY" not in shown(settings())
    assert "LLM_PROXY_KEY" not in shown(settings(auth={"api_keys": [KEY], "allow_anonymous": True}))


@pytest.mark.parametrize(
    ("listening", "url"),
    [
        ("0.0.0.0:80", "http://127.0.0.1/"),
        ("[::]:8080", "http://[::1]:8080/"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/"),
        ("[::1]:2", "http://[::1]:2/"),
    ],
)
def test_the_command_goes_to_an_address_that_can_be_dialled(listening: str, url: str) -> None:
    assert command(load(None, {}), listening)[2].startswith(url)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (one("my-model"), "my-model"),
        (one("*"), "gpt-4o-mini"),
        (one("gpt-4*"), "gpt-4o-mini"),
        (one("*/*"), "openai/gpt-4o-mini"),
        (one("llama-*"), "llama-latest"),
        (one("claude-*", "anthropic"), "claude-sonnet-4-5"),
        (one("*", "simulator"), "demo"),
        (one("demo-*", "simulator"), "demo-ok"),
        (one("it's"), "it's"),
    ],
)
def test_the_command_names_a_model_that_the_pattern_covers(of: Settings, expected: str) -> None:
    assert model(of) == expected
    assert Glob(of.models[0].name).matches(expected)


def test_the_command_prefers_a_model_that_can_answer() -> None:
    of = settings(
        upstreams={"absent": {"kind": "openai"}, "claude": {"kind": "anthropic", "api_key": "x"}, "demo": {"kind": "simulator"}},
        models=[
            {"name": "a", "targets": [{"upstream": "absent"}]},
            {"name": "b", "targets": [{"upstream": "claude"}]},
            {"name": "c", "targets": [{"upstream": "absent"}, {"upstream": "demo"}]},
        ],
    )

    assert model(of) == "c"
    assert model(of.model_copy(update={"models": of.models[:2]})) == "b"


def test_the_command_s_model_is_not_served_by_an_earlier_entry() -> None:
    of = settings(
        upstreams={"absent": {"kind": "openai"}, "here": {"kind": "openai", "api_key": "x"}},
        models=[{"name": "gpt-4o-mini", "targets": [{"upstream": "absent"}]}, {"name": "*", "targets": [{"upstream": "here"}]}],
    )

    assert model(of) == "openai/gpt-4o-mini"


def test_without_models_the_command_shows_the_test_stream() -> None:
    assert command(settings()) == ["curl", "-N", "http://127.0.0.1:8080/test/stream?count=10&interval=1"]
