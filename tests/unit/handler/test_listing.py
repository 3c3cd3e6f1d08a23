from __future__ import annotations

from typing import Any

import pytest

from proxy.handler.listing import (
    anthropic_entry,
    anthropic_list,
    gemini_entry,
    gemini_list,
    id_of,
    openai_entry,
    openai_list,
)

OPENAI = {"id": "gpt-4o", "object": "model", "created": 1_763_712_000, "owned_by": "vendor", "context": 128_000}
GOOGLE = {"name": "models/gemini-x", "displayName": "Gemini X", "supportedGenerationMethods": ["embedContent"]}
ANTHROPIC = {"type": "model", "id": "claude-x", "display_name": "Claude X", "created_at": "2025-11-21T08:00:00Z", "max": 9}


def test_an_entry_in_the_words_of_the_list_is_its_upstream_s_own() -> None:
    assert openai_entry(OPENAI) is OPENAI
    assert anthropic_entry(ANTHROPIC) is ANTHROPIC
    assert gemini_entry(GOOGLE) is GOOGLE


def test_an_entry_of_anthropic_s_reads_like_openai_s_and_loses_nothing() -> None:
    assert openai_entry(ANTHROPIC) == {
        "id": "claude-x",
        "object": "model",
        "created": 1_763_712_000,
        "owned_by": "anthropic",
        "display_name": "Claude X",
        "max": 9,
    }


def test_an_entry_of_openai_s_reads_like_anthropic_s() -> None:
    assert anthropic_entry(OPENAI) == {
        "type": "model",
        "id": "gpt-4o",
        "display_name": "gpt-4o",
        "created_at": "2025-11-21T08:00:00Z",
    }
    assert anthropic_entry({**OPENAI, "name": "OpenAI: GPT-4o"})["display_name"] == "OpenAI: GPT-4o"


def test_an_entry_of_google_s_reads_like_the_others() -> None:
    assert openai_entry(GOOGLE) == {
        "id": "gemini-x",
        "object": "model",
        "created": 0,
        "owned_by": "google",
        "displayName": "Gemini X",
        "supportedGenerationMethods": ["embedContent"],
    }
    assert anthropic_entry(GOOGLE) == {
        "type": "model",
        "id": "gemini-x",
        "display_name": "Gemini X",
        "created_at": "1970-01-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("entry", "title"),
    [(OPENAI, "gpt-4o"), (ANTHROPIC, "Claude X"), ({"id": "vendor/m", "name": "Vendor: M"}, "Vendor: M")],
)
def test_an_entry_of_others_reads_like_google_s(entry: dict[str, Any], title: str) -> None:
    assert gemini_entry(entry) == {
        "name": f"models/{entry['id']}",
        "displayName": title,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (GOOGLE, "gemini-x"),
        ({"id": "a", "name": "models/b"}, "a"),
        ({"id": 7, "name": "models/b"}, None),
        ({"name": "m"}, None),
        ({"name": 7}, None),
        ({}, None),
    ],
)
def test_a_model_is_asked_for_by_its_id_or_by_google_s_name_for_it(entry: dict[str, Any], name: str | None) -> None:
    assert id_of(entry) == name


@pytest.mark.parametrize("name", [None, "", 7])
def test_a_name_that_is_none_is_not_displayed(name: Any) -> None:
    assert anthropic_entry({"id": "m", "name": name})["display_name"] == "m"


@pytest.mark.parametrize("created", [None, 0, "x", float("nan"), 2**40, 2**60, 10**30, -(10**30), []])
def test_a_second_that_cannot_be_told_is_the_epoch(created: Any) -> None:
    assert anthropic_entry({"id": "m", "created": created})["created_at"] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("created", [None, 7, "", "soon", "2025-13-01T00:00:00Z"])
def test_a_time_that_cannot_be_read_is_0(created: Any) -> None:
    assert openai_entry({"type": "model", "id": "m", "created_at": created})["created"] == 0


def test_a_list_has_one_page() -> None:
    entries = [ANTHROPIC, OPENAI]

    assert openai_list(entries) == {"object": "list", "data": [openai_entry(ANTHROPIC), OPENAI]}
    assert gemini_list(entries) == {"models": [gemini_entry(ANTHROPIC), gemini_entry(OPENAI)]}
    assert anthropic_list(entries) == {
        "data": [ANTHROPIC, anthropic_entry(OPENAI)],
        "has_more": False,
        "first_id": "claude-x",
        "last_id": "gpt-4o",
    }


def test_an_empty_list_is_a_list() -> None:
    assert openai_list([]) == {"object": "list", "data": []}
    assert anthropic_list([]) == {"data": [], "has_more": False, "first_id": None, "last_id": None}
