from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects.bedrock_usage import CONVERSE, METRICS, Names, read_counts, read_native_usage
from proxy.exchange import Usage


@pytest.mark.parametrize("names", [CONVERSE, METRICS])
def test_the_input_includes_what_was_read_from_a_cache_and_written_to_it(names: Names) -> None:
    beside, cached, written, out = names

    assert read_counts({beside: 20, cached: 6, written: 2, out: 5}, names) == Usage(28, 5, 6, 2)
    assert read_counts({beside: 20, out: 5}, names) == Usage(20, 5)


def test_missing_is_not_zero() -> None:
    assert read_counts({"outputTokens": 5}, CONVERSE) == Usage(None, 5)
    assert read_counts({}, CONVERSE) == Usage()


@pytest.mark.parametrize("count", [-1, 1.5, "7", True, None, [], 1 << 53])
def test_what_is_no_count_is_not_believed(count: Any) -> None:
    assert read_counts({"inputTokens": count, "outputTokens": 5}, CONVERSE) == Usage(None, 5)


@pytest.mark.parametrize("usage", [None, [], "text", 7])
def test_what_is_no_object_says_nothing(usage: Any) -> None:
    assert read_counts(usage, CONVERSE) is None
    assert read_native_usage(usage) is None


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"inputTokens": 20, "cacheReadInputTokens": 6, "outputTokens": 5}, Usage(26, 5, 6)),
        ({"input_tokens": 20, "cache_creation_input_tokens": 2, "output_tokens": 5}, Usage(22, 5, None, 2)),
        ({"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}, Usage(20, 5)),
    ],
    ids=["Amazon", "Anthropic", "OpenAI"],
)
def test_a_model_s_own_words_are_understood(usage: dict[str, Any], read: Usage) -> None:
    assert read_native_usage(usage) == read
