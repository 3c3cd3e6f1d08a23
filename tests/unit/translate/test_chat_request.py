from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.chat_request import ChatRequest, Format, read_chat, schema_of
from tests.unit.translate.asking import WEATHER, source

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def read(**values: Any) -> ChatRequest:
    return read_chat(source(**values))


def test_a_request_of_words_only_leaves_everything_open() -> None:
    chat = read()

    left: list[object] = [chat.max_tokens, chat.temperature, chat.top_p, chat.top_k, chat.effort, chat.format, chat.user]
    assert left == [None] * 7
    assert not chat.stop
    assert not chat.toolbox.tools
    assert not chat.include_usage


@pytest.mark.parametrize(
    ("values", "limit"),
    [({"max_tokens": 5}, 5), ({"max_completion_tokens": 6}, 6), ({"max_tokens": 5, "max_completion_tokens": 6}, 6)],
)
def test_the_newer_limit_of_tokens_counts(values: dict[str, Any], limit: int) -> None:
    assert read(**values).max_tokens == limit


@pytest.mark.parametrize(
    ("stop", "texts"), [("END", ("END",)), (["a", "b"], ("a", "b")), ("", ()), (["", "a"], ("a",)), (None, ())]
)
def test_stop_sequences_are_a_list_without_empty_ones(stop: Any, texts: tuple[str, ...]) -> None:
    assert read(stop=stop).stop == texts


@pytest.mark.parametrize(
    ("told", "form"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, Format()),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}, Format(SCHEMA, "n")),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "description": "d"}}, Format(SCHEMA, "n", "d")),
    ],
)
def test_the_form_of_the_answer_is_read(told: dict[str, Any], form: Format | None) -> None:
    assert read(response_format=told).format == form


def test_who_asks_is_told_by_the_newer_word_if_both_are_there() -> None:
    assert read(user="u", safety_identifier="s").user == "s"
    assert read(user="u").user == "u"


def test_usage_in_the_stream_is_asked_for_in_the_options() -> None:
    assert read(stream_options={"include_usage": True, "include_obfuscation": False}).include_usage


@pytest.mark.parametrize(
    "values",
    [
        {"n": 1},
        {"logprobs": False, "top_logprobs": 0},
        {"presence_penalty": 0, "frequency_penalty": 0.0},
        {"logit_bias": {}},
        {"modalities": ["text"]},
        {"verbosity": "medium"},
        {"seed": None, "audio": None, "prediction": None},
        {"store": True, "metadata": {"a": "b"}, "service_tier": "flex"},
        {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "prompt_cache_options": {}},
    ],
)
def test_what_has_no_bearing_on_the_answer_is_ignored(values: dict[str, Any]) -> None:
    assert read(**values) == read()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("seed", 0),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -1),
        ("logit_bias", {"50256": -100}),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy", "format": "mp3"}),
        ("prediction", {"type": "content", "content": "x"}),
        ("verbosity", "low"),
        ("web_search_options", {}),
        ("moderation", {"model": "m"}),
        ("functions", [{"name": "f"}]),
        ("function_call", "auto"),
        ("min_p", 0.1),
        ("something_new", False),
    ],
)
def test_what_no_target_can_honour_is_refused_by_name_or_left_out(name: str, value: Any) -> None:
    with pytest.raises(Untranslatable) as caught:
        read(**{name: value})

    assert caught.value.param == name
    assert f"'{name}'" in caught.value.public
    assert read(**{name: value}, drop=True) == read()


def test_a_parameter_that_the_target_has_is_left_to_it() -> None:
    assert read_chat(source(seed=7), {"seed"}) == read()


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": "5"}, "max_completion_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": 0.5}, "top_k"),
        ({"stop": [1]}, "stop"),
        ({"stop": {}}, "stop"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        ({"user": 7}, "user"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"messages": None}, "messages"),
        ({"tools": [WEATHER], "tool_choice": "some"}, "tool_choice"),
    ],
)
def test_what_is_wrong_in_any_api_is_refused_by_name(values: dict[str, Any], place: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**values, drop=True)

    assert caught.value.param == place


def test_a_form_without_a_schema_is_refused_or_left_out_where_schemas_are_all_there_is() -> None:
    asked = source(response_format={"type": "json_object"})
    with pytest.raises(Untranslatable) as caught:
        schema_of(asked, read_chat(asked))

    assert caught.value.param == "response_format"
    dropping = source(response_format={"type": "json_object"}, drop=True)
    assert schema_of(dropping, read_chat(dropping)) is None


def test_a_form_with_a_schema_is_taken() -> None:
    asked = source(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}})

    assert schema_of(asked, read_chat(asked)) == Format(SCHEMA, "n")
