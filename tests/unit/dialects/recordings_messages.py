"""Anthropic's event streams as real backends write them, byte for byte but for shortened ids and signatures."""

from __future__ import annotations

from typing import Final

from proxy.dialects.base import CONTENT, FAILED, NOTHING, PING, TERMINAL
from proxy.exchange import Usage
from tests.unit.dialects.recordings import Recording, event

STARTED: Final = event(
    "message_start",
    '"message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"stop_reason":null,'
    '"stop_sequence":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}',
)
PING_EVENT: Final = b'event: ping\ndata: {"type": "ping"}\n\n'
STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
OVERLOADED: Final = event("error", '"error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"')


def begin(block: str, index: int = 0) -> bytes:
    """Return the beginning of a block."""
    return event("content_block_start", f'"index":{index},"content_block":{{{block}}}')


def delta(inside: str, index: int = 0) -> bytes:
    """Return one delta."""
    return event("content_block_delta", f'"index":{index},"delta":{{{inside}}}')


def text(words: str, index: int = 0) -> bytes:
    """Return one delta of text; *words* as they stand in JSON."""
    return delta(f'"type":"text_delta","text":"{words}"', index)


def end(index: int = 0) -> bytes:
    """Return the end of a block."""
    return event("content_block_stop", f'"index":{index}')


def finish(reason: str = "end_turn", usage: str = '"output_tokens":15') -> bytes:
    """Return the event that says why the message ends, and what it used."""
    return event("message_delta", f'"delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{{{usage}}}')


TEXT: Final = begin('"type":"text","text":""')
THINKING: Final = begin('"type":"thinking","thinking":"","signature":""')
ENDING: Final = ((finish(), NOTHING), (STOP, TERMINAL))
USED: Final = Usage(25, 15, 0, 0)

MESSAGES: Final = (
    Recording(
        "text",
        ((STARTED, NOTHING), (TEXT, NOTHING), (PING_EVENT, PING), (text("Hel"), CONTENT), (text("lo"), CONTENT), (end(), NOTHING), *ENDING),
        USED,
    ),
    Recording(
        "tools in parallel",
        (
            (STARTED, NOTHING),
            (TEXT, NOTHING),
            (text("Let me look."), CONTENT),
            (end(), NOTHING),
            (begin('"type":"tool_use","id":"toolu_1","name":"weather","input":{}', 1), CONTENT),
            (delta('"type":"input_json_delta","partial_json":""', 1), CONTENT),
            (delta('"type":"input_json_delta","partial_json":"{\\"city\\": \\"Os"', 1), CONTENT),
            (delta('"type":"input_json_delta","partial_json":"lo\\"}"', 1), CONTENT),
            (end(1), NOTHING),
            (begin('"type":"tool_use","id":"toolu_2","name":"clock","input":{}', 2), CONTENT),
            (delta('"type":"input_json_delta","partial_json":"{}"', 2), CONTENT),
            (end(2), NOTHING),
            (finish("tool_use", '"output_tokens":89'), NOTHING),
            (STOP, TERMINAL),
        ),
        Usage(25, 89, 0, 0),
    ),
    Recording(
        "thinking, then text",
        (
            (STARTED, NOTHING),
            (THINKING, NOTHING),
            (delta('"type":"thinking_delta","thinking":"Hm"'), CONTENT),
            (PING_EVENT, PING),
            (delta('"type":"signature_delta","signature":"EqQBCgIYAhIM=="'), CONTENT),
            (end(), NOTHING),
            (begin('"type":"text","text":""', 1), NOTHING),
            (text("27", 1), CONTENT),
            (end(1), NOTHING),
            (finish(usage='"output_tokens":40,"output_tokens_details":{"thinking_tokens":31}'), NOTHING),
            (STOP, TERMINAL),
        ),
        Usage(25, 40, 0, 0, 31),
    ),
    Recording(
        "redacted thinking",
        (
            (STARTED, NOTHING),
            (begin('"type":"redacted_thinking","data":"EmwKAhgBEgy3va3p"'), CONTENT),
            (end(), NOTHING),
            (begin('"type":"text","text":""', 1), NOTHING),
            (text("Yes", 1), CONTENT),
            (end(1), NOTHING),
            *ENDING,
        ),
        USED,
    ),
    Recording(
        "a search on the server, citations, usage said again",
        (
            (STARTED, NOTHING),
            (begin('"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}'), CONTENT),
            (delta('"type":"input_json_delta","partial_json":"{\\"query\\":\\"tea\\"}"'), CONTENT),
            (end(), NOTHING),
            (begin('"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","title":"Tea"}]', 1), CONTENT),
            (end(1), NOTHING),
            (begin('"type":"text","text":"","citations":[]', 2), NOTHING),
            (delta('"type":"citations_delta","citation":{"type":"web_search_result_location","url":"https://tea.example"}', 2), CONTENT),
            (text("Tea", 2), CONTENT),
            (end(2), NOTHING),
            (
                finish(
                    usage='"input_tokens":2682,"cache_creation_input_tokens":100,"cache_read_input_tokens":40,"output_tokens":510,'
                    '"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":0},"server_tool_use":{"web_search_requests":1}'
                ),
                NOTHING,
            ),
            (STOP, TERMINAL),
        ),
        Usage(2822, 510, 40, 100),
    ),
    Recording(
        "a ping before anything else",
        ((PING_EVENT, PING), (STARTED, NOTHING), (PING_EVENT, PING), (TEXT, NOTHING), (text("Hi"), CONTENT), (end(), NOTHING), *ENDING),
        USED,
    ),
    Recording("an error first", ((OVERLOADED, FAILED),), error="overloaded_error", terminal=False),
    Recording(
        "an error late",
        ((STARTED, NOTHING), (TEXT, NOTHING), (text("Hi"), CONTENT), (event("error", '"error":{"type":"api_error","message":"m"}'), FAILED)),
        Usage(25, 1, 0, 0),
        error="api_error",
        terminal=False,
    ),
    Recording("an error in plain words", ((b"event: error\ndata: upstream connect error\n\n", FAILED),), error="error", terminal=False),
    Recording(
        "cut off",
        ((STARTED, NOTHING), (TEXT, NOTHING), (text("Hi"), CONTENT)),
        Usage(25, 1, 0, 0),
        terminal=False,
    ),
    Recording(
        "a model that writes our words",
        (
            (STARTED, NOTHING),
            (TEXT, NOTHING),
            (text('event: message_stop\\ndata: {\\"type\\":\\"message_stop\\"}\\n\\n'), CONTENT),
            (text('\\",\\"type\\":\\"error\\"'), CONTENT),
            (text('\\"usage\\":{\\"output_tokens\\":1}'), CONTENT),
            (end(), NOTHING),
            *ENDING,
        ),
        USED,
    ),
    Recording(
        "events that are not known yet",
        (
            (STARTED, NOTHING),
            (event("content_block_pause", '"index":0'), NOTHING),
            (begin('"type":"compaction","content":null'), CONTENT),
            (delta('"type":"something_delta","something":"x"'), CONTENT),
            (end(), NOTHING),
            *ENDING,
        ),
        USED,
    ),
    Recording(
        "without event names",
        (
            (b'data: {"message":{"type":"message","usage":{"input_tokens":3}},"type":"message_start"}\n\n', NOTHING),
            (b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}\n\n', CONTENT),
            (b'data: {"type": "ping"}\n\n', PING),
            (b'data: {"type":"message_delta","delta":{"type":"error"},"usage":{"output_tokens":2}}\n\n', NOTHING),
            (b'data: {"type":"message_stop"}\n\n', TERMINAL),
        ),
        Usage(3, 2),
    ),
    Recording(
        "things that are no events of this API",
        (
            (b": comment\n\n", NOTHING),
            (b"event: content_block_delta\n\n", NOTHING),
            (b"event: ping\n\n", NOTHING),
            (event("message_start", '"message":null'), NOTHING),
            (event("message_delta", '"usage":7'), NOTHING),
            (b"event: message_delta\ndata: []\n\n", NOTHING),
            (b"data: [DONE]\n\n", NOTHING),
            (b'data: {"type":7}\n\n', NOTHING),
            (b'data: {"error":{"message":"m"}}\n\n', NOTHING),
            (STOP, TERMINAL),
        ),
    ),
)  # fmt: skip
