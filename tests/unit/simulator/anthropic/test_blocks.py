from __future__ import annotations

from proxy.simulator.anthropic.blocks import blocks_of
from proxy.simulator.dialect import Part
from proxy.simulator.reply import Reply, ToolCall

CALL = ToolCall("call_1", "weather", ('{"city":', '"Oslo"}'))
REPLY = Reply(id="ab", reasoning=("So", " so"), text=("Well", "."), calls=(CALL,), cut=False)


def test_blocks_follow_the_order_of_the_reply() -> None:
    assert [block.begun()["type"] for block in blocks_of(REPLY, shown=True)] == ["thinking", "text", "tool_use"]
    assert blocks_of(Reply(id="ab", reasoning=(), text=(), calls=(), cut=True), shown=True) == []


def test_block_is_announced_without_content() -> None:
    thinking, text, use = (block.begun() for block in blocks_of(REPLY, shown=True))

    assert thinking == {"type": "thinking", "thinking": "", "signature": ""}
    assert text == {"type": "text", "text": ""}
    assert use == {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}


def test_thoughts_are_told_token_by_token_and_signed_at_the_end() -> None:
    thinking = blocks_of(REPLY, shown=True)[0]

    *thoughts, (signed, part) = thinking.deltas()

    assert thoughts == [({"type": "thinking_delta", "thinking": thought}, Part.TOKEN) for thought in ("So", " so")]
    assert (signed["type"], part) == ("signature_delta", Part.FRAME)
    assert thinking.done() == {"type": "thinking", "thinking": "So so", "signature": signed["signature"]}


def test_thoughts_that_are_not_shown_are_only_signed() -> None:
    thinking = blocks_of(REPLY, shown=False)[0]

    ((signed, _),) = thinking.deltas()

    assert signed["signature"] == blocks_of(REPLY, shown=True)[0].done()["signature"]
    assert thinking.done()["thinking"] == ""


def test_arguments_are_pieces_of_json_after_an_empty_one() -> None:
    use = blocks_of(REPLY, shown=True)[2]

    first, *pieces = use.deltas()

    assert first == ({"type": "input_json_delta", "partial_json": ""}, Part.FRAME)
    assert pieces == [({"type": "input_json_delta", "partial_json": piece}, Part.TOKEN) for piece in CALL.arguments]
    assert use.done()["input"] == {"city": "Oslo"}
