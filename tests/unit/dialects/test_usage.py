from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.usage import last_members, read_gemini_usage, read_messages_usage, read_usage, usage_at_end
from proxy.exchange import Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(st.text(max_size=3), inside, max_size=2),
    max_leaves=3,
)
KEYS = (
    "prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details",
    "prompt_cache_hit_tokens", "cost", "cost_in_usd_ticks",
)  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        pytest.param(
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "total_tokens": 14,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(9, 5, 4, 2, 3),
            id="chat: reasoning is part of the completion",
        ),
        pytest.param(
            {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 4},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 3},
                "total_tokens": 14,
            },
            Usage(9, 5, 4, None, 3),
            id="responses",
        ),
        pytest.param({"prompt_tokens": 8, "total_tokens": 8}, Usage(8, None), id="embeddings"),
        pytest.param({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0), id="zero is not missing"),
        pytest.param({}, Usage(), id="nothing said"),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": None, "completion_tokens_details": None},
            Usage(9, 5),
            id="null details",
        ),
        pytest.param({"prompt_tokens": 9, "completion_tokens": 5, "cost": 0.25, "is_byok": False}, Usage(9, 5, cost_usd=0.25), id="OpenRouter"),
        pytest.param({"prompt_tokens": 9, "completion_tokens": 5, "cost": 0}, Usage(9, 5, cost_usd=0.0), id="for nothing"),
        pytest.param({"prompt_tokens": 9, "completion_tokens": 5, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 3}, Usage(9, 5, 6), id="DeepSeek"),
        pytest.param(
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "total_tokens": 17,
                "completion_tokens_details": {"reasoning_tokens": 3},
                "cost_in_usd_ticks": 5_000_000_000,
            },
            Usage(9, 8, None, None, 3, 0.5),
            id="xAI: reasoning counted apart",
        ),
    ],
)  # fmt: skip
def test_usage_is_read_in_every_known_form(usage: dict[str, Any], read: Usage) -> None:
    assert read_usage(usage) == read


@pytest.mark.parametrize("usage", [None, [], "9", 9, True])
def test_what_is_no_object_says_nothing(usage: Any) -> None:
    assert read_usage(usage) is None


@pytest.mark.parametrize("count", [-1, True, 1.5, "9", [9], 1 << 53, None])
def test_a_count_that_is_none_is_missing(count: Any) -> None:
    """A negative count would make a counter fail, and an absurd one every sum."""
    assert read_usage({"prompt_tokens": count, "completion_tokens": 5}) == Usage(None, 5)


@pytest.mark.parametrize("cost", [-0.1, True, "0.1", float("nan"), float("inf"), 10**400])
def test_a_cost_that_is_none_is_missing(cost: Any) -> None:
    usage = read_usage({"prompt_tokens": 9, "cost": cost})

    assert usage is not None
    assert usage.cost_usd is None


@given(
    st.dictionaries(st.sampled_from(KEYS), JSON | st.dictionaries(st.sampled_from(("cached_tokens", "reasoning_tokens")), JSON))
)
def test_no_usage_is_too_strange_to_be_read(usage: dict[str, Any]) -> None:
    read = read_usage(usage)

    assert read is not None
    for count in (read.tokens_in, read.tokens_out, read.cached, read.cache_write, read.reasoning):
        assert count is None or (type(count) is int and 0 <= count < 1 << 54)
    assert read.cost_usd is None or 0 <= read.cost_usd < float("inf")


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        pytest.param({"input_tokens": 25, "output_tokens": 15}, Usage(25, 15), id="no cache"),
        pytest.param(
            {
                "input_tokens": 25,
                "cache_creation_input_tokens": 100,
                "cache_read_input_tokens": 1000,
                "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 0},
                "output_tokens": 40,
                "output_tokens_details": {"thinking_tokens": 31},
                "server_tool_use": {"web_search_requests": 1},
                "service_tier": "standard",
            },
            Usage(1125, 40, 1000, 100, 31),
            id="what was cached is input too",
        ),
        pytest.param({"input_tokens": 0, "cache_read_input_tokens": 7, "output_tokens": 0}, Usage(7, 0, 7), id="zero is not missing"),
        pytest.param({"cache_read_input_tokens": 7, "output_tokens": 5}, Usage(None, 5, 7), id="a part is not the whole"),
        pytest.param({"input_tokens": 1, "output_tokens_details": None}, Usage(1), id="null details"),
        pytest.param({"input_tokens": -1, "output_tokens": True, "output_tokens_details": {"thinking_tokens": "9"}}, Usage(), id="no counts"),
        pytest.param({}, Usage(), id="nothing said"),
    ],
)  # fmt: skip
def test_anthropic_s_usage_leaves_out_what_was_cached(usage: dict[str, Any], read: Usage) -> None:
    assert read_messages_usage(usage) == read


@pytest.mark.parametrize("usage", [None, [], "9", 9, True])
def test_what_is_no_object_says_nothing_to_anthropic_s_reader_either(usage: Any) -> None:
    assert read_messages_usage(usage) is None


@pytest.mark.parametrize(
    ("end", "usage"),
    [
        (b',0.1]}],"model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}', {"prompt_tokens": 8, "total_tokens": 8}),
        (b'"usage" : { "a" : {"b":1} } , "service_tier":"default"}', {"a": {"b": 1}}),
        (b'"usage":{"a":1}},"usage":{"a":2},"x":[]}', {"a": 2}),
        (b'\xac"usage":{"a":1}}', {"a": 1}),
        (b'"usage":null}', None),
        (b'"usage":{"a":', None),
        (b'\\"usage\\":{\\"a\\":1}', None),
        (b"0.1,0.1]}", None),
        (b"", None),
        (b'"usage":{"a":' + b"[" * 4000, None),
    ],
)
def test_usage_is_found_in_the_last_bytes_of_an_answer(end: bytes, usage: dict[str, Any] | None) -> None:
    assert usage_at_end(end) == usage


def test_what_a_model_wrote_about_usage_is_not_taken_for_it() -> None:
    answer = orjson.dumps(
        {"text": '"usage":{"prompt_tokens":1}', "usage": {"prompt_tokens": 8}, "tail": '"usage":{"prompt_tokens":2}'}
    )

    assert usage_at_end(answer[5:]) == {"prompt_tokens": 8}


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"promptTokenCount": 8, "candidatesTokenCount": 3, "totalTokenCount": 11}, Usage(8, 3)),
        (
            {"promptTokenCount": 100, "cachedContentTokenCount": 64, "candidatesTokenCount": 3, "thoughtsTokenCount": 40},
            Usage(100, 43, cached=64, reasoning=40),
        ),
        ({"promptTokenCount": 8, "toolUsePromptTokenCount": 5, "thoughtsTokenCount": 2}, Usage(13, 2, reasoning=2)),
        ({"promptTokenCount": 8}, Usage(8)),
        ({"promptTokenCount": "8", "candidatesTokenCount": True, "thoughtsTokenCount": -1}, Usage()),
        ({}, Usage()),
        (None, None),
        ([], None),
    ],
)
def test_gemini_counts_thoughts_beside_the_answer_and_tools_beside_the_prompt(usage: Any, read: Usage | None) -> None:
    assert read_gemini_usage(usage) == read


def test_a_usage_at_the_end_is_found_under_its_own_key() -> None:
    end = b'x"}],"usage": {"a": 1},"usageMetadata" : {"b": 2},"modelVersion": "m"}'

    assert usage_at_end(end, "usageMetadata") == {"b": 2}
    assert usage_at_end(end) == {"a": 1}


@pytest.mark.parametrize(
    ("answer", "members"),
    [
        pytest.param(b'{"id":"x","usage":{"a":1}}', {"usage": {"a": 1}}, id="last"),
        pytest.param(b'{"usage" : {"a":1} , "tier":"}"}\n', {"usage": {"a": 1}, "tier": "}"}, id="followed by others"),
        pytest.param(b'{"usage":{"a":1},"usage":null}', {"usage": None}, id="the last one counts"),
        pytest.param(b'{"usage":{"a":1},"u\\u0073age":{"a":2}}', {"usage": {"a": 2}}, id="the last one counts, however it is written"),
        pytest.param(b'2,0.1]}],"usage":{"a":1}}', {"usage": {"a": 1}}, id="the end only"),
        pytest.param(b'{"usage":{"a":1},"more":{"usage":{"a":2}}}', None, id="of an inner object"),
        pytest.param(b'{"x\\"usage":{"a":1}}', None, id="the end of a longer key"),
        pytest.param(b'{"text":"usage","more":1}', None, id="a value"),
        pytest.param(b'{"text":"\\"usage\\":{}"}', None, id="in what the model wrote"),
        pytest.param(b'[{"usage":{"a":1}}]', None, id="in a list"),
        pytest.param(b'{"usage":{"a":1}', None, id="cut"),
        pytest.param(b'{"usage":{"a":NaN}}', None, id="no JSON"),
        pytest.param(b'usage":{"a":1}}', None, id="where its quote is missing"),
        pytest.param(b'"usage":{"a":1}}', None, id="where what stands before it is missing"),
        pytest.param(b"", None, id="nothing"),
    ],
)  # fmt: skip
def test_the_last_members_of_an_answer_are_read_without_the_rest(answer: bytes, members: dict[str, Any] | None) -> None:
    assert last_members(answer, "usage") == members


AWKWARD = st.sampled_from(("usage", '"usage"', "\\", '\\"usage', '":{', "u", "}", '"usage":{"a":1}}', "é"))
INSIDE = st.recursive(
    AWKWARD | st.integers(0, 9) | st.none(),
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(AWKWARD, inside, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(AWKWARD, INSIDE, max_size=4), st.booleans(), st.sampled_from((None, 1)))
def test_what_is_read_of_an_answer_s_end_is_what_reading_all_of_it_gives(
    answer: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    members = last_members(json.dumps(answer, ensure_ascii=ascii_only, indent=indent).encode(), "usage")

    assert members is None or members.items() <= answer.items()
    assert members is None or "usage" in members
