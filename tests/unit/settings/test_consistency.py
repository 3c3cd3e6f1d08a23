from __future__ import annotations

from typing import Any

import pytest

from proxy.settings.consistency import contradictions

KEY = {"id": "ci", "sha256": "0" * 64}


def found(data: object) -> list[str]:
    return [f"{'.'.join(map(str, path))}: {message}" for path, message in contradictions(data)]


def test_what_fits_together_is_not_complained_about() -> None:
    data = {
        "listen": "0.0.0.0:8080",
        "auth": {"api_keys": [KEY]},
        "upstreams": {"a": {"kind": "openai", "base_url": "http://127.0.0.1:8000"}},
        "models": [{"name": "gpt-*", "targets": [{"upstream": "a"}]}, {"name": "GPT-*", "targets": [{"upstream": "a"}]}],
        "chat_endpoints": [{"path": "/chat", "model": "gpt-4o"}],
    }

    assert found(data) == []


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"models": [{"name": "a"}, {"name": "b"}, {"name": "a"}]}, "models.2.name"),
        ({"auth": {"jwt": [{"issuer": "a"}, {"issuer": "a"}]}}, "auth.jwt.1.issuer"),
        ({"auth": {"api_keys": [{"id": "a"}, {"id": "a"}]}}, "auth.api_keys.1.id"),
        ({"auth": {"api_keys": [{"sha256": "aB"}, {"sha256": "Ab"}]}}, "auth.api_keys.1.sha256"),
        ({"models": [{"name": "m"}], "chat_endpoints": [{"path": "/a", "model": "m"}] * 2}, "chat_endpoints.1.path"),
    ],
)
def test_a_name_that_is_taken_is_reported_at_its_second_place(data: object, place: str) -> None:
    assert [line.split(":")[0] for line in found(data)] == [place]


def test_a_target_must_name_an_upstream() -> None:
    data = {"upstreams": {"openai": {}}, "models": [{"name": "a", "targets": [{"upstream": "openai"}, {"upstream": "opena"}]}]}

    assert found(data) == ["models.0.targets.1.upstream: there is no such upstream; did you mean openai?"]


@pytest.mark.parametrize(("upstreams", "hint"), [({"x": {}, "y": {}}, "there are: x, y"), ({}, "none is configured")])
def test_a_far_off_name_is_answered_with_what_there_is(upstreams: dict[str, Any], hint: str) -> None:
    data = {"upstreams": upstreams, "models": [{"name": "a", "targets": [{"upstream": "claude"}]}]}

    assert found(data) == [f"models.0.targets.0.upstream: there is no such upstream; {hint}"]


def test_a_chat_endpoint_needs_a_model_that_is_served() -> None:
    data = {"models": [{"name": "gpt-*"}], "chat_endpoints": [{"path": "/a", "model": "claude-x"}]}

    assert found(data) == ["chat_endpoints.0.model: no entry of models serves it; there are: gpt-*"]


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "192.168.1.5:8080", "myhost:8080"])
@pytest.mark.parametrize("auth", [{}, {"allow_anonymous": "false"}, {"api_keys": []}, {"allow_anonymous": "maybe"}])
def test_serving_beyond_loopback_needs_a_credential(listen: str, auth: dict[str, Any]) -> None:
    lines = found({"listen": listen, "auth": auth})

    assert len(lines) == 1
    assert lines[0].startswith("listen: everybody who reaches this address could use the upstreams' keys")


@pytest.mark.parametrize(
    "data",
    [
        {"listen": "127.0.0.1:8080"},
        {"listen": "[::1]:8080"},
        {"listen": "localhost:8080"},
        {},
        {"listen": "0.0.0.0:8080", "auth": {"allow_anonymous": "true"}},
        {"listen": "0.0.0.0:8080", "auth": {"allow_anonymous": True}},
        {"listen": "0.0.0.0:8080", "auth": {"api_keys": [KEY]}},
        {"listen": "0.0.0.0:8080", "auth": {"jwt": [{"issuer": "a"}]}},
    ],
)
def test_the_door_may_be_open_on_this_machine_or_on_purpose(data: object) -> None:
    assert found(data) == []


@pytest.mark.parametrize(
    ("listen", "base_url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("127.0.0.1:8080", "http://localhost:8080/v1"),
        ("localhost:80", "http://127.0.0.1/v1"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("10.0.0.1:8080", "http://10.0.0.1:8080"),
    ],
)
def test_an_upstream_that_is_the_proxy_itself_is_refused(listen: str, base_url: str) -> None:
    """OPENAI_BASE_URL is often set to the proxy in the shell that starts it."""
    data = {"listen": listen, "auth": {"allow_anonymous": "true"}, "upstreams": {"a": {"base_url": base_url}}}

    assert found(data) == ["upstreams.a.base_url: this is the proxy's own address: each request would come back to it"]


def test_the_default_address_counts_too() -> None:
    assert len(found({"upstreams": {"a": {"base_url": "http://127.0.0.1:8080/v1"}}})) == 1


@pytest.mark.parametrize(
    ("listen", "base_url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8081"),
        ("127.0.0.1:8080", "http://[::1]:8080"),
        ("0.0.0.0:8080", "http://vllm:8080"),
        ("127.0.0.1:0", "http://127.0.0.1:8080"),
    ],
)
def test_an_upstream_beside_the_proxy_is_fine(listen: str, base_url: str) -> None:
    data = {"listen": listen, "auth": {"allow_anonymous": "true"}, "upstreams": {"a": {"base_url": base_url}}}

    assert found(data) == []


@pytest.mark.parametrize(
    "data",
    [
        None,
        "text",
        {"models": "a", "upstreams": "b", "auth": "c", "chat_endpoints": {}, "listen": "nonsense"},
        {
            "models": ["a", {"name": ["x"], "targets": "y"}, {"targets": ["z", {}]}],
            "upstreams": {"a": None, "b": {"base_url": "?"}},
        },
        {"auth": {"jwt": "a", "api_keys": [None, {"id": 1}]}, "chat_endpoints": ["a", {}]},
    ],
)
def test_what_is_malformed_is_left_to_its_section(data: object) -> None:
    assert found(data) == []
