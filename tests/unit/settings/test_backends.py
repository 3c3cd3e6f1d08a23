from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from proxy.settings.backends import Model, Price, Streaming, StreamingOverrides, Target, Upstream
from proxy.settings.values import Origin


def refusal(section: type[Any], **data: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        section.model_validate(data)
    return str(caught.value.errors()[0]["msg"])


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("openai", "https://api.openai.com/v1"),
        ("anthropic", "https://api.anthropic.com"),
        ("gemini", "https://generativelanguage.googleapis.com"),
    ],
)
def test_a_kind_knows_its_usual_origin(kind: str, url: str) -> None:
    assert Upstream.model_validate({"kind": kind}).origin == Origin.parse(url)


def test_the_configured_origin_wins() -> None:
    upstream = Upstream(kind="openai", base_url="http://127.0.0.1:8000/v1/")

    assert upstream.origin == Origin("http", "127.0.0.1", 8000, "/v1")


def test_a_simulator_has_no_origin() -> None:
    assert Upstream(kind="simulator").origin is None


def test_bedrock_has_an_origin_only_where_one_is_set() -> None:
    assert Upstream(kind="bedrock", region="us-east-1").origin is None
    assert Upstream(kind="bedrock", endpoint_url="http://localhost:1").origin == Origin("http", "localhost", 1)


def test_azure_needs_its_resource() -> None:
    assert "kind azure needs base_url" in refusal(Upstream, kind="azure")


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("openai", "region", "us-east-1"),
        ("openai", "endpoint_url", "https://h"),
        ("openai", "api_version", "2024-10-21"),
        ("simulator", "base_url", "https://h"),
        ("bedrock", "base_url", "https://h"),
    ],
)
def test_a_key_of_another_kind_is_refused(kind: str, key: str, value: str) -> None:
    assert f"{key} means nothing to kind {kind}" in refusal(Upstream, kind=kind, **{key: value})


def test_an_upstream_never_prints_its_secrets() -> None:
    upstream = Upstream.model_validate(
        {"kind": "openai", "api_key": "hunter2", "proxy": "http://u:hunter2@h:1", "headers": {"X-Key": "hunter2"}}
    )

    assert "hunter2" not in repr(upstream)
    assert "hunter2" not in upstream.model_dump_json()


def test_an_empty_key_counts_as_none() -> None:
    assert not Upstream(kind="openai", api_key=SecretStr("")).api_key
    assert Upstream(kind="openai", api_key=SecretStr("x")).api_key


@pytest.mark.parametrize("model", ["{name}", "{model", "x}", "{model}{}"])
def test_a_target_knows_one_placeholder(model: str) -> None:
    assert "the only placeholder" in refusal(Target, upstream="a", model=model)


def test_a_target_may_name_the_model_anew() -> None:
    assert Target(upstream="a", model="anthropic.{model}-v1:0").model == "anthropic.{model}-v1:0"


@pytest.mark.parametrize("weight", ["0", "-1", "x"])
def test_a_weight_is_a_positive_number(weight: str) -> None:
    assert refusal(Target, upstream="a", weight=weight)


def test_a_model_needs_a_target() -> None:
    assert refusal(Model, name="a", targets=[])


def test_a_price_is_not_negative() -> None:
    assert Price.model_validate({"input": "0.15"}).input == 0.15
    assert refusal(Price, input="-1")


def test_overrides_replace_only_what_they_name() -> None:
    general = Streaming(idle_timeout=7.0, commit_after=1.0)
    overrides = StreamingOverrides.model_validate({"commit_after": "0s", "keepalive_style": None})

    merged = overrides.over(general)

    assert merged == Streaming(idle_timeout=7.0, commit_after=0.0)
    assert type(merged) is Streaming


def test_overrides_are_written_without_defaults() -> None:
    overrides = StreamingOverrides.model_validate({"first_token_timeout": "900s"})

    assert overrides.model_dump(mode="json") == {"first_token_timeout": "15m"}


@pytest.mark.parametrize(
    "key", ["keepalive_interval", "idle_timeout", "first_token_timeout", "attempt_timeout", "content_timeout"]
)
def test_a_clock_that_must_run_is_above_zero(key: str) -> None:
    assert "more than 0" in refusal(Streaming, **{key: "0s"})


@pytest.mark.parametrize("key", ["commit_after", "json_keepalive_after", "drain_limit"])
def test_a_clock_that_may_be_zero_is(key: str) -> None:
    assert getattr(Streaming.model_validate({key: "0s"}), key) == 0.0
