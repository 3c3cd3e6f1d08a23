from __future__ import annotations

from proxy.simulator.bedrock.blocks import blocks_of
from proxy.simulator.dialect import Part
from proxy.simulator.reply import Reply, ToolCall

CALL = ToolCall("call_1", "weather", ('{"city":', '"Oslo"}'))
REPLY = Reply(id="ab", reasoning=("So", " so"), text=("Well", "."), calls=(CALL,), cut=False)


def test_only_the_use_of_a_tool_is_announced() -> None:
    begun = [block.begun() for block in blocks_of(REPLY, shown=True)]

    assert begun == [None, None, {"toolUse": {"toolUseId": "tooluse_1", "name": "weather"}}]


def test_reply_without_words_has_no_blocks() -> None:
    assert blocks_of(Reply(id="ab", reasoning=(), text=(), calls=(), cut=True), shown=True) == []


def test_thoughts_are_told_token_by_token_and_signed_at_the_end() -> None:
    reasoning = blocks_of(REPLY, shown=True)[0]

    *thoughts, (signed, part) = reasoning.deltas()

    signature = signed["reasoningContent"]["signature"]
    assert thoughts == [({"reasoningContent": {"text": thought}}, Part.TOKEN) for thought in ("So", " so")]
    assert part is Part.FRAME
    assert reasoning.done() == {"reasoningContent": {"reasoningText": {"text": "So so", "signature": signature}}}


def test_thoughts_that_are_not_shown_are_only_signed() -> None:
    reasoning = blocks_of(REPLY, shown=False)[0]

    assert [list(delta["reasoningContent"]) for delta, _ in reasoning.deltas()] == [["signature"]]


def test_words_and_arguments_are_told_in_pieces() -> None:
    _, text, use = blocks_of(REPLY, shown=True)

    assert list(text.deltas()) == [({"text": token}, Part.TOKEN) for token in REPLY.text]
    assert text.done() == {"text": "Well."}
    assert list(use.deltas()) == [({"toolUse": {"input": piece}}, Part.TOKEN) for piece in CALL.arguments]
    assert use.done() == {"toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Oslo"}}}
