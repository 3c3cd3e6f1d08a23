from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest, Untranslatable
from proxy.translate.conversation import Image, Text, ToolResult, ToolUse, Turn
from proxy.translate.fields import Fields
from proxy.translate.responses_input import read_input
from tests.unit.translate.responses_asking import call, message, output, text


def read(*items: Any, drop: bool = False, **more: Any) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
    return read_input(Fields({"input": list(items), **more}), drop=drop)


def use(id: str = "c1") -> ToolUse:  # noqa: A002
    return ToolUse(id=id, name="weather", input={"city": "Rome"}, written='{"city":"Rome"}')


def result(at: int, id: str = "c1", said: str = "Sunny") -> ToolResult:  # noqa: A002
    return ToolResult(call=id, name="weather", content=(Text(said),), at=f"input[{at}].call_id")


USER = message("user", text("Hi"))
HI = Turn("user", (Text("Hi"),))


def test_an_input_may_be_a_string() -> None:
    assert read_input(Fields({"input": "Hi", "instructions": "Be brief."}), drop=False) == ((Text("Be brief."),), (HI,))


def test_instructions_come_first_and_later_ones_stay_where_they_are() -> None:
    system, turns = read(
        message("developer", "One."), message("system", "Two."), USER, message("developer", "Three."), instructions="Zero."
    )

    assert system == (Text("Zero."), Text("One."), Text("Two."))
    assert turns == (HI, Turn("system", (Text("Three."),)))


def test_a_message_needs_no_type_and_neighbours_are_one_turn() -> None:
    _, turns = read({"role": "user", "content": "Hi"}, USER, message("assistant", text("Yes?", "output_text")))

    assert turns == (Turn("user", (Text("Hi"), Text("Hi"))), Turn("assistant", (Text("Yes?"),)))


def test_calls_belong_to_the_words_before_them_and_results_follow() -> None:
    _, turns = read(USER, message("assistant", "Let me see."), call("a"), call("b"), output("1", "a"), output("2", "b"), USER)

    assert turns == (
        HI,
        Turn("assistant", (Text("Let me see."), use("a"), use("b"))),
        Turn("user", (result(4, "a", "1"), result(5, "b", "2"), Text("Hi"))),
    )


def test_a_result_stands_behind_its_call_wherever_it_was() -> None:
    _, turns = read(
        USER, call("a"), call("b"), output("1", "a"), message("developer", "Now."), call("c"), output("2", "b"), output("3", "c")
    )

    assert turns == (
        HI,
        Turn("assistant", (use("a"), use("b"))),
        Turn("user", (result(3, "a", "1"), result(6, "b", "2"))),
        Turn("system", (Text("Now."),)),
        Turn("assistant", (use("c"),)),
        Turn("user", (result(7, "c", "3"),)),
    )


def test_calls_one_after_the_other_are_turns_of_their_own() -> None:
    _, turns = read(USER, call("a"), output("1", "a"), call("b"), output("2", "b"))

    assert [turn.role for turn in turns] == ["user", "assistant", "user", "assistant", "user"]


def test_reasoning_is_left_out() -> None:
    _, turns = read(USER, {"type": "reasoning", "summary": [], "encrypted_content": "x"}, call(), output())

    assert turns[1:] == (Turn("assistant", (use(),)), Turn("user", (result(3),)))


@pytest.mark.parametrize("arguments", ['{"a": ', "", "[1]"])
def test_arguments_that_are_no_object_are_kept_as_they_were_written(arguments: str) -> None:
    _, turns = read(USER, call(arguments=arguments), output())

    assert turns[1].parts == (ToolUse(id="c1", name="weather", input={}, written=arguments),)


def test_a_result_may_hold_images() -> None:
    _, turns = read(USER, call(), output([text("a"), {"type": "input_image", "image_url": "https://x"}]))

    assert turns[2].parts == (
        ToolResult(
            call="c1",
            name="weather",
            content=(Text("a"), Image(at="input[2].output[1].image_url", url="https://x")),
            at="input[2].call_id",
        ),
    )


@pytest.mark.parametrize("kind", ["web_search_call", "custom_tool_call", "local_shell_call", "mcp_list_tools"])
def test_items_of_openais_own_tools_are_refused_or_left_out(kind: str) -> None:
    assert read(USER, {"type": kind}, drop=True)[1] == (HI,)
    with pytest.raises(Untranslatable) as caught:
        read(USER, {"type": kind})
    assert caught.value.param == "input[1].type"


@pytest.mark.parametrize("kind", ["item_reference", "compaction"])
def test_items_that_stand_for_what_only_openai_can_read_are_always_refused(kind: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        read(USER, {"type": kind, "id": "x"}, drop=True)

    assert caught.value.param == "input[1].type"


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([], "input"),
        ([message("user", "")], "input"),
        ([message("system", "Be brief.")], "input"),
        ([message("tool", "x")], "input[0].role"),
        ([{"type": "message", "content": "x"}], "input[0].role"),
        ([{"type": "message", "role": "user"}], "input[0].content"),
        ([message("assistant", {"type": "input_image", "image_url": "https://x"})], "input[0].content"),
        ([USER, output()], "input[1].call_id"),
        ([USER, call(), output(), output()], "input[3].call_id"),
        ([USER, call() | {"call_id": ""}], "input[1].call_id"),
        ([USER, call() | {"name": None}], "input[1].name"),
        ([USER, call() | {"arguments": {}}], "input[1].arguments"),
        ([USER, call(), output() | {"output": None}], "input[2].output"),
        ([1], "input"),
    ],
)
def test_a_conversation_that_cannot_be_is_named_by_its_place(items: list[Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(*items)

    assert caught.value.param == param
