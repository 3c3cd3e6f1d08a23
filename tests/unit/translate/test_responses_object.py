from __future__ import annotations

import json
from typing import Any

from proxy.exchange import Usage
from proxy.translate.responses_object import ResponseObject, usage_object
from tests.unit.translate.responses_asking import WEATHER, source


def written(*arguments: Any, of: ResponseObject | None = None, **more: Any) -> dict[str, Any]:
    read = json.loads((of or ResponseObject.of(source())).write(*arguments, **more))
    assert isinstance(read, dict)
    return read


def test_a_response_says_again_what_was_asked() -> None:
    asked: dict[str, Any] = {
        "instructions": "Be brief.",
        "tools": [WEATHER],
        "metadata": {"a": "b"},
        "store": True,
        "temperature": 0.5,
    }

    response = written("in_progress", "gpt-x", of=ResponseObject.of(source(**asked)))

    assert {key: response[key] for key in asked} == asked
    assert (response["id"], response["object"], response["created_at"]) == ("resp_r1", "response", 1763712000)
    assert (response["status"], response["model"], response["output"]) == ("in_progress", "gpt-x", [])


def test_what_was_not_asked_has_the_values_that_clients_expect() -> None:
    response = written("in_progress", "")

    assert response["model"] == "m"
    assert (response["tools"], response["tool_choice"], response["parallel_tool_calls"]) == ([], "auto", True)
    assert (response["text"], response["truncation"]) == ({"format": {"type": "text"}}, "disabled")
    assert response["store"] is False  # nobody keeps it
    assert [response[key] for key in ("error", "incomplete_details", "usage", "previous_response_id")] == [None] * 4


def test_its_end_says_how_it_came_to_it() -> None:
    response = written("incomplete", "m", [{"id": "x"}], usage=Usage(1, 2), incomplete="max_output_tokens")
    failed = written("failed", "m", error={"code": "c", "message": "\ud83d"})

    assert (response["output"], response["incomplete_details"]) == ([{"id": "x"}], {"reason": "max_output_tokens"})
    assert response["usage"] == usage_object(Usage(1, 2))
    assert (failed["status"], failed["error"]["code"]) == ("failed", "c")


def test_odd_strings_of_a_client_and_of_a_backend_go_out_as_they_came() -> None:
    response = ResponseObject.of(source(instructions="\ud83d")).write("completed", "\ude42")

    assert rb'"instructions":"\ud83d"' in response
    assert rb'"model":"\ude42"' in response


def test_usage_has_all_counts() -> None:
    assert usage_object(Usage(10, 5, 4, 3, 2)) == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }
    assert usage_object(Usage())["total_tokens"] == 0
