from __future__ import annotations

import pytest

from proxy.translate.conversation import Choice, Text, Tool, ToolUse, Turn, called_tools


@pytest.mark.parametrize(
    ("choice", "forced"), [(Choice(), False), (Choice("none"), False), (Choice("any"), True), (Choice("tool", "f"), True)]
)
def test_a_tool_has_to_be_called_where_any_or_one_of_them_is_wanted(choice: Choice, forced: bool) -> None:
    assert choice.forced is forced


def test_tools_that_were_called_are_known_by_name_in_the_order_of_their_first_call() -> None:
    names = ("b", "a", "b")
    turns = [Turn("assistant", (Text("Hm"), ToolUse(id=f"c{number}", name=name, input={}))) for number, name in enumerate(names)]

    assert called_tools(turns) == tuple(Tool(name=name, schema={"type": "object", "properties": {}}) for name in ("b", "a"))
