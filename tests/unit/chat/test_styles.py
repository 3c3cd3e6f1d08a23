from __future__ import annotations

import json

import pytest

from proxy.chat.styles import STYLES, Style
from proxy.chat.words import OVERLOADED
from tests.support.whatwg import events

ESCAPED = b'say \\"hi\\"\\n\\u00e9'


def told(style: Style, data: bytes) -> list[tuple[str, dict[str, object]]]:
    """The events in *data*: their names and values."""
    if style is STYLES["ndjson"]:
        return [((values := json.loads(line)).pop("type"), values) for line in data.splitlines()]
    return [(event.type, json.loads(event.data)) for event in events(data)]


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("token", ("token", {"text": 'say "hi"\né'})),
        ("message", ("message", {"content": 'say "hi"\né', "type": "text"})),
        ("ndjson", ("token", {"text": 'say "hi"\né'})),
    ],
)
def test_text_goes_in_with_its_escapes(name: str, event: tuple[str, dict[str, object]]) -> None:
    assert told(STYLES[name], STYLES[name].text(ESCAPED)) == [event]
    assert STYLES[name].text(ESCAPED).startswith(STYLES[name].content)


@pytest.mark.parametrize("name", STYLES)
def test_a_failure_is_a_sentence_and_an_end_that_says_so(name: str) -> None:
    style = STYLES[name]

    assert told(style, style.failure(OVERLOADED)) == [
        ("error", {"message": OVERLOADED.message, "code": "RATE_LIMIT"}),
        ("done", {"finish_reason": "error", "code": "RATE_LIMIT"}),
    ]


def test_only_the_message_style_names_the_conversation_first() -> None:
    assert {name: bool(style.start("c1")) for name, style in STYLES.items()} == {"token": False, "message": True, "ndjson": False}
    assert told(STYLES["message"], STYLES["message"].start("c1")) == [("start", {"chat_id": "c1", "type": "start"})]
