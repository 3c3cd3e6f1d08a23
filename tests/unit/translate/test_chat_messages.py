from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.chat_messages import Conversation, read_messages
from proxy.translate.conversation import RedactedThinking, Text, Thinking, ToolResult, ToolUse, Turn
from tests.unit.translate.asking import USER, call, called, fields, result

USED = ToolUse(id="call_1", name="weather", input={"city": "Rome"})
GOT = ToolResult(call="call_1", name="weather", content=(Text("Sunny"),))
HI = Turn("user", (Text("Hi"),))


def read(*messages: Any) -> Conversation:
    return read_messages(fields(messages=list(messages)))


def say(role: str, content: Any, **members: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **members}


def test_leading_instructions_are_the_systems_and_later_ones_part_of_the_next_turn() -> None:
    conversation = read(
        say("system", "Be kind."),
        say("developer", [{"type": "text", "text": "Be brief."}]),
        USER,
        say("assistant", "Yes?"),
        say("system", "Speak French."),
        say("user", "Go on."),
    )

    assert conversation == Conversation(
        (Text("Be kind."), Text("Be brief.")),
        (HI, Turn("assistant", (Text("Yes?"),)), Turn("user", (Text("Speak French."), Text("Go on.")))),
    )


def test_neighbours_of_one_role_are_one_turn() -> None:
    conversation = read(USER, USER, say("assistant", "a"), say("assistant", "b"), USER)

    assert conversation.turns == (Turn("user", (Text("Hi"), Text("Hi"))), Turn("assistant", (Text("a"), Text("b"))), HI)


@pytest.mark.parametrize(
    ("messages", "roles"),
    [
        pytest.param([say("assistant", "Hello.")], ["user", "assistant"], id="the assistant opens"),
        pytest.param([say("system", "Write a poem.")], ["user"], id="instructions only"),
        pytest.param([say("user", "")], ["user"], id="an empty message"),
        pytest.param([USER, say("assistant", "a"), say("user", "")], ["user", "assistant", "user"], id="an empty last message"),
    ],
)
def test_where_the_user_has_no_words_there_is_a_placeholder(messages: list[Any], roles: list[str]) -> None:
    turns = read(*messages).turns

    assert [turn.role for turn in turns] == roles
    assert turns[0 if roles[-1] == "assistant" else -1].parts == (Text("."),)


def test_an_assistants_message_without_anything_is_no_turn() -> None:
    assert read(USER, say("assistant", None), say("assistant", "", tool_calls=[]), USER).turns == (
        Turn("user", (Text("Hi"), Text("Hi"))),
    )


def test_white_space_at_the_end_of_what_the_model_shall_continue_is_taken_away() -> None:
    assert read(USER, say("assistant", "The answer is \n")).turns[-1] == Turn("assistant", (Text("The answer is"),))
    assert read(USER, say("assistant", " \n")).turns == (HI,)


def test_only_the_end_is_trimmed_and_only_of_the_assistants_words() -> None:
    assert read(USER, say("assistant", "a "), say("assistant", "b ")).turns[-1] == Turn("assistant", (Text("a "), Text("b")))
    assert read(say("user", "Hi ")).turns == (Turn("user", (Text("Hi "),)),)


def test_white_space_at_the_end_of_a_finished_turn_stays() -> None:
    assert read(USER, say("assistant", "Yes? "), USER).turns[1] == Turn("assistant", (Text("Yes? "),))


def test_what_a_model_refused_to_say_is_its_text() -> None:
    assert read(USER, say("assistant", None, refusal="No."), USER).turns[1] == Turn("assistant", (Text("No."),))


def test_results_of_parallel_calls_come_first_in_one_turn_of_the_users() -> None:
    conversation = read(
        USER,
        called(call(), call("now", "", id="call_2"), content="Let me see."),
        result(),
        say("system", "Be quick."),
        result([{"type": "text", "text": "Noon"}], id="call_2"),
        say("user", "And?"),
    )

    assert conversation.turns[1:] == (
        Turn("assistant", (Text("Let me see."), USED, ToolUse(id="call_2", name="now", input={}))),
        Turn(
            "user",
            (GOT, ToolResult(call="call_2", name="now", content=(Text("Noon"),)), Text("Be quick."), Text("And?")),
        ),
    )


def test_an_empty_result_is_a_result() -> None:
    assert read(USER, called(call()), result("")).turns[2] == Turn("user", (ToolResult(call="call_1", name="weather"),))


@pytest.mark.parametrize("arguments", ["{}", " {} ", "", " ", None])
def test_a_call_without_arguments_has_an_empty_object(arguments: Any) -> None:
    used = read(USER, called(call("now", arguments)), result()).turns[1].parts[0]

    assert used == ToolUse(id="call_1", name="now", input={})


def test_large_numbers_in_arguments_stay_what_they_are() -> None:
    (used,) = read(USER, called(call("now", '{"n":123456789012345678901234567890}')), result()).turns[1].parts

    assert isinstance(used, ToolUse)
    assert used.input == {"n": 123456789012345678901234567890}


def test_a_signature_of_googles_comes_back_with_its_call() -> None:
    signed = call(extra_content={"google": {"thought_signature": "c2ln"}})

    (used,) = read(USER, called(signed), result()).turns[1].parts

    assert isinstance(used, ToolUse)
    assert used.signature == "c2ln"


@pytest.mark.parametrize("extra", [None, "x", {}, {"google": None}, {"google": {"thought_signature": 7}}])
def test_what_else_stands_where_googles_signature_does_means_nothing(extra: Any) -> None:
    (used,) = read(USER, called(call(extra_content=extra)), result()).turns[1].parts

    assert isinstance(used, ToolUse)
    assert used.signature == ""


def test_reasoning_that_comes_back_stands_before_the_words() -> None:
    thoughts = [
        {"type": "thinking", "thinking": "Hm", "signature": "sig", "index": 0},
        {"type": "redacted_thinking", "data": "xyz"},
    ]

    turn = read(USER, say("assistant", "a", thinking_blocks=thoughts, reasoning_content="Hm"), USER).turns[1]

    assert turn == Turn("assistant", (Thinking("Hm", "sig"), RedactedThinking("xyz"), Text("a")))


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        pytest.param([], "messages", id="none"),
        pytest.param(["Hi"], "messages", id="a string"),
        pytest.param([{"content": "Hi"}], "messages[0].role", id="no role"),
        pytest.param([say("robot", "Hi")], "messages[0].role", id="unknown role"),
        pytest.param([say("user", None)], "messages[0].content", id="user without content"),
        pytest.param([say("system", 7)], "messages[0].content", id="system with a number"),
        pytest.param([USER, result()], "messages[1].tool_call_id", id="result without a call"),
        pytest.param([USER, called(call()), result(id="call_9")], "messages[2].tool_call_id", id="result of another call"),
        pytest.param([USER, called(call()), result(), result()], "messages[3].tool_call_id", id="two results of one call"),
        pytest.param(
            [USER, called(call()), {"role": "tool", "content": "x"}], "messages[2].tool_call_id", id="result without an id"
        ),
        pytest.param([USER, called(call())], "messages", id="call without a result"),
        pytest.param([USER, called(call()), USER], "messages", id="call that the user talks over"),
        pytest.param([USER, called(call()), say("assistant", "a")], "messages", id="call that the assistant talks over"),
        pytest.param([USER, called(call(), call()), result()], "messages[1].tool_calls", id="one id twice"),
        pytest.param([USER, called(call(id=""))], "messages[1].tool_calls[0].id", id="call without an id"),
        pytest.param([USER, called(call(""))], "messages[1].tool_calls[0].function.name", id="call without a name"),
        pytest.param([USER, called({"id": "1"})], "messages[1].tool_calls[0].function", id="call without a function"),
        pytest.param([USER, say("assistant", "a", tool_calls={})], "messages[1].tool_calls", id="calls that are no list"),
        pytest.param(
            [USER, say("assistant", "a", thinking_blocks=[{"type": "thinking", "thinking": "Hm"}])],
            "messages[1].thinking_blocks[0].signature",
            id="reasoning without a signature",
        ),
    ],
)
def test_a_conversation_that_is_wrong_in_any_api_is_refused_by_place(messages: list[Any], place: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(*messages)

    assert caught.value.param == place
    assert not isinstance(caught.value, Untranslatable)


@pytest.mark.parametrize(
    "arguments",
    ['{"city":', "[]", "null", "1", '"x"', '{"a":NaN}', '{"a":Infinity}', "[" * 200_000, '{"n":' + "9" * 5000 + "}", 7],
)
def test_arguments_that_are_no_json_object_are_refused_by_place(arguments: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        read(USER, called(call(arguments=arguments)), result())

    assert caught.value.param == "messages[1].tool_calls[0].function.arguments"


def test_arguments_of_a_megabyte_are_read() -> None:
    text = "x" * (1 << 20)

    (used,) = read(USER, called(call(arguments=f'{{"text":"{text}"}}')), result()).turns[1].parts

    assert isinstance(used, ToolUse)
    assert used.input == {"text": text}


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([USER, say("assistant", None, audio={"id": "audio_1"})], "messages[1].audio"),
        ([USER, say("assistant", None, function_call={"name": "f", "arguments": "{}"})], "messages[1].function_call"),
        ([say("function", "Sunny", name="weather")], "messages[0].role"),
        ([USER, called({"id": "1", "type": "custom", "custom": {"name": "f", "input": "x"}})], "messages[1].tool_calls[0].type"),
    ],
)
def test_what_only_openai_has_is_refused_by_place(messages: list[Any], place: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        read(*messages)

    assert caught.value.param == place
