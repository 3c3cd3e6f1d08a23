from __future__ import annotations

from proxy.simulator.openai.output import items_of
from proxy.simulator.reply import Reply, ToolCall


def test_items_follow_the_order_of_the_reply_and_have_their_own_ids() -> None:
    calls = (ToolCall("call_1", "a", ("{}",)), ToolCall("call_2", "b", ("{",)))
    reply = Reply(id="ab", reasoning=("So",), text=("Well",), calls=calls, cut=True)

    items = items_of(reply)

    assert [item.id for item in items] == ["rs_ab", "msg_ab", "fc_1", "fc_2"]
    assert [item.done().get("status") for item in items] == [None, "incomplete", "completed", "incomplete"]


def test_item_is_announced_without_content() -> None:
    reply = Reply(id="ab", reasoning=("So",), text=("Well",), calls=(ToolCall("call_1", "a", ("{}",)),), cut=False)

    reasoning, message, call = (item.begun() for item in items_of(reply))

    assert (reasoning["summary"], message["content"], call["arguments"]) == ([], [], "")
    assert message["status"] == call["status"] == "in_progress"


def test_reply_without_words_has_no_items() -> None:
    assert items_of(Reply(id="ab", reasoning=(), text=(), calls=(), cut=True)) == []
