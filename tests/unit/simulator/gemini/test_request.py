from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import BadRequest
from proxy.simulator.gemini.request import count_tokens, read_ask
from proxy.simulator.schema import FREE_OBJECT
from tests.unit.simulator.gemini.support import BODY, SCHEMA, TOOLS


def configured(**config: Any) -> dict[str, Any]:
    return {**BODY, "generationConfig": config}


def test_limit_stops_and_candidates_are_read_in_either_spelling() -> None:
    ask = read_ask(configured(maxOutputTokens=7, stop_sequences=["END"], candidateCount=3))

    assert (ask.prompt.limit, ask.prompt.stops, ask.candidates) == (7, ("END",), 3)
    assert read_ask(BODY).candidates == 1


def test_functions_are_called_until_they_have_answered() -> None:
    call = {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}}}]}
    response = {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {}}}]}

    asks = [
        read_ask({"contents": contents, "tools": TOOLS}) for contents in (BODY["contents"], [*BODY["contents"], call, response])
    ]

    assert [len(ask.prompt.calls) for ask in asks] == [1, 0]


@pytest.mark.parametrize(
    ("config", "thinks", "shows"),
    [
        ({}, False, False),
        ({"thinkingBudget": 0}, False, False),
        ({"thinkingBudget": -1}, True, False),
        ({"thinkingLevel": "HIGH"}, True, False),
        ({"includeThoughts": True}, True, True),
        ({"include_thoughts": True, "thinking_budget": 512}, True, True),
    ],
)
def test_thinking_may_be_hidden(config: Any, thinks: bool, shows: bool) -> None:
    ask = read_ask(configured(thinkingConfig=config))

    assert (ask.prompt.thinks, ask.shows_thoughts) == (thinks, shows)


@pytest.mark.parametrize(
    ("config", "schema"),
    [
        ({"responseSchema": SCHEMA}, None),
        ({"responseMimeType": "text/plain"}, None),
        ({"responseMimeType": "application/json"}, FREE_OBJECT),
        (
            {"responseMimeType": "application/json", "responseSchema": SCHEMA},
            {"type": "object", "properties": {"city": {"type": "string"}}},
        ),
        ({"responseMimeType": "application/json", "responseJsonSchema": {"type": "array"}}, {"type": "array"}),
    ],
)
def test_wanted_form_is_read(config: Any, schema: Any) -> None:
    assert read_ask(configured(**config)).prompt.schema == schema


def test_cached_content_is_counted_and_marked() -> None:
    plain, cached = read_ask(BODY), read_ask({**BODY, "cachedContent": "cachedContents/x"})

    assert (plain.cached, cached.cached) == (0, 2048)
    assert cached.prompt.tokens_in == plain.prompt.tokens_in + 2048


def test_tokens_are_counted_of_bare_contents_and_of_a_whole_request() -> None:
    whole = {**BODY, "tools": TOOLS}

    assert count_tokens(BODY) == read_ask(BODY).prompt.tokens_in
    assert count_tokens({"generateContentRequest": {"model": "models/demo", **whole}}) == read_ask(whole).prompt.tokens_in


@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"maxOutputTokens": 0}, "maxOutputTokens"),
        ({"candidateCount": 9}, "candidateCount"),
        ({"stopSequences": ["a", "b", "c", "d", "e", "f"]}, "stopSequences"),
        ({"temperature": 2.5}, "temperature"),
        ({"topP": "high"}, "topP"),
        ({"thinkingConfig": {"thinkingBudget": "much"}}, "thinkingBudget"),
        ({"thinkingConfig": {"thinkingBudget": -2}}, "thinkingBudget"),
        ({"thinkingConfig": {"includeThoughts": "yes"}}, "includeThoughts"),
        ({"thinkingConfig": 5}, "thinkingConfig"),
        ({"responseMimeType": "application/json", "responseSchema": 5}, "responseSchema"),
    ],
)
def test_wrong_field_is_refused_by_name(config: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_ask(configured(**config))

    assert refused.value.param == param
