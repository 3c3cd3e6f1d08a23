from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.conversation import Choice, Text, Turn
from proxy.translate.responses_request import Form, read_responses_request
from tests.unit.translate.responses_asking import WEATHER, source

SCHEMA = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "description": "d", "strict": True}


def test_a_request_is_read_whole() -> None:
    read = read_responses_request(
        source(
            instructions="Be brief.",
            tools=[WEATHER],
            tool_choice="required",
            text={"format": SCHEMA, "verbosity": "low"},
            reasoning={"effort": "high", "summary": "auto"},
            max_output_tokens=100,
            temperature=1.5,
            top_p=0.9,
            user="u",
            service_tier="flex",
        )
    )

    assert (read.system, read.turns) == ((Text("Be brief."),), (Turn("user", (Text("Hi"),)),))
    assert (read.toolbox.tools[0].name, read.toolbox.choice) == ("weather", Choice("any"))
    assert (read.form, read.verbosity) == (Form({"type": "object"}, "n", "d", strict=True), "low")
    assert (read.effort, read.summary) == ("high", True)
    assert (read.max_tokens, read.temperature, read.top_p, read.user, read.tier) == (100, 1.5, 0.9, "u", "flex")


def test_what_is_absent_is_not_invented() -> None:
    read = read_responses_request(source(reasoning=None, text=None, tools=None, service_tier="auto"))

    assert (read.system, read.toolbox.tools, read.form, read.summary) == ((), (), None, False)
    assert [read.verbosity, read.effort, read.user, read.tier] == [""] * 4
    assert [read.max_tokens, read.temperature, read.top_p] == [None] * 3


def test_all_that_codex_sends_is_understood() -> None:
    read_responses_request(
        source(
            instructions="You are …",
            tools=[WEATHER],
            tool_choice="auto",
            parallel_tool_calls=True,
            reasoning={"effort": "medium", "summary": "auto"},
            store=False,
            stream=True,
            include=["reasoning.encrypted_content"],
            prompt_cache_key="thread",
            text={"verbosity": "medium"},
            client_metadata={"x": "y"},
        )
    )


def test_what_says_nothing_about_the_answer_is_left_out() -> None:
    read_responses_request(
        source(
            metadata={"a": "b"},
            truncation="auto",
            max_tool_calls=3,
            stream_options={"include_obfuscation": False},
            context_management=[],
            top_logprobs=0,
            background=False,
            previous_response_id=None,
        )
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("previous_response_id", "resp_1"), ("conversation", "conv_1"), ("prompt", {"id": "p"}), ("background", True)],
)
def test_what_only_the_account_of_an_earlier_answer_knows_is_always_refused(name: str, value: Any) -> None:
    values: dict[str, Any] = {name: value}

    with pytest.raises(Untranslatable) as caught:
        read_responses_request(source(drop=True, **values))

    assert caught.value.param == name


@pytest.mark.parametrize(
    ("name", "value"), [("top_logprobs", 5), ("include", ["message.output_text.logprobs"]), ("moderation", {"model": "m"})]
)
def test_what_chat_backends_may_not_have_is_refused_or_left_out(name: str, value: Any) -> None:
    values: dict[str, Any] = {name: value}
    read_responses_request(source(drop=True, **values))

    with pytest.raises(Untranslatable) as caught:
        read_responses_request(source(**values))

    assert caught.value.param == name


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, Form()),
        ({**SCHEMA, "strict": None}, Form({"type": "object"}, "n", "d")),
    ],
)
def test_each_form_of_an_answer_is_read(form: dict[str, Any], read: Form | None) -> None:
    assert read_responses_request(source(text={"format": form})).form == read


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 1}, "input"),
        ({"instructions": []}, "instructions"),
        ({"text": "x"}, "text"),
        ({"text": {"format": {}}}, "text.format.type"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {**SCHEMA, "schema": None}}}, "text.format.schema"),
        ({"text": {"format": {**SCHEMA, "name": ""}}}, "text.format.name"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity"),
        ({"reasoning": {"effort": "some"}}, "reasoning.effort"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"include": "x"}, "include"),
        ({"user": 1}, "user"),
        ({"service_tier": 1}, "service_tier"),
    ],
)
def test_a_parameter_that_is_wrong_in_itself_is_named(values: dict[str, Any], param: str) -> None:
    said = values.pop("input", "Hi")

    with pytest.raises(BadRequest) as caught:
        read_responses_request(source(said, **values))

    assert caught.value.param == param
