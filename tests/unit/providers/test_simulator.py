from __future__ import annotations

import orjson
import pytest

from proxy import settings
from proxy.providers.base import Asked, Refusal
from proxy.providers.simulator import Simulator

SIMULATOR = Simulator(settings.Upstream(kind="simulator"), b"/v1")


@pytest.mark.parametrize(
    ("api", "path"),
    [
        ("chat", b"/v1/chat/completions"),
        ("models", b"/v1/models"),
        ("messages", b"/v1/messages"),
        ("gemini", b"/v1beta/models/m:generateContent"),
        ("converse", b"/model/m/converse"),
    ],
)
def test_each_api_has_its_own_path_there(api: str, path: bytes) -> None:
    assert SIMULATOR.target(Asked(api, path, model="m")) == path
    assert SIMULATOR.reads_model(api) is (api in ("chat", "models", "messages", "converse"))


def test_the_name_of_a_model_is_replaced_where_its_api_has_it() -> None:
    assert SIMULATOR.target(Asked("gemini", b"/v1beta/models/m:countTokens", model="a/b")) == b"/v1beta/models/a%2Fb:countTokens"
    assert SIMULATOR.target(Asked("converse", b"/model/m/converse", model="a:0")) == b"/model/a%3A0/converse"


def test_it_speaks_the_apis_of_several_kinds() -> None:
    assert {
        "chat",
        "responses",
        "embeddings",
        "models",
        "messages",
        "count_tokens",
        "gemini",
        "converse",
        "invoke",
    } <= SIMULATOR.apis


def test_a_request_without_a_version_is_not_refused_for_it() -> None:
    assert SIMULATOR.defaults == ((b"anthropic-version", b"2023-06-01"),)


@pytest.mark.parametrize(
    ("status", "error", "refusal"),
    [
        (429, {"code": "rate_limit_exceeded"}, Refusal("rate_limited", transient=True)),
        (429, {"type": "rate_limit_error"}, Refusal("rate_limited", transient=True)),
        (429, {"code": "insufficient_quota"}, Refusal("spend_limit", transient=True)),
        (
            429,
            {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}},
            Refusal("spend_limit", transient=True),
        ),
        (529, {"type": "overloaded_error"}, Refusal("overloaded", transient=True)),
        (400, {"code": "bad_request"}, Refusal("refused", transient=False)),
    ],
)
def test_a_refusal_is_understood_in_the_words_of_either_api(status: int, error: dict[str, object], refusal: Refusal) -> None:
    assert SIMULATOR.refusal(status, {}, orjson.dumps({"error": error})) == refusal
