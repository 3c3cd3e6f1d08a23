from __future__ import annotations

import random

import pytest

from proxy.simulator import text


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("Tell me about reverse proxies!", "reverse proxies"),
        ("What is HTTP/2 and why should I care?", "HTTP 2 care"),
        ("", text.NO_TOPIC),
        ("Tell me about it", text.NO_TOPIC),
        ("Erkläre die Größe des Universums bitte kurz", "Erkläre die Größe des"),
    ],
)
def test_topic_is_the_few_words_that_carry_the_question(question: str, topic: str) -> None:
    assert text.topic_of(question) == topic


@pytest.mark.parametrize("said", ["Hello, world! 12345678901", "  two  spaces\n\nlines ", "“naïve café” – done", ""])
def test_tokens_joined_again_are_the_text(said: str) -> None:
    assert "".join(text.split(said)) == said


def test_tokens_are_short_like_those_of_a_real_model() -> None:
    assert max(map(len, text.split("incomprehensibilities of internationalization"))) <= 8


def test_answer_is_about_sixty_tokens_of_whole_sentences() -> None:
    answers = [text.answer("tea", random.Random(seed), None) for seed in range(50)]

    assert all(text.NATURAL_TOKENS <= len(tokens) < 80 for tokens in answers)
    assert all("".join(tokens)[-1] in ".!" for tokens in answers)


def test_answer_speaks_of_the_topic() -> None:
    assert "black tea" in "".join(text.answer("black tea", random.Random(1), None))


@pytest.mark.parametrize("count", [1, 2, 60, 1000])
def test_answer_has_exactly_as_many_tokens_as_asked_for(count: int) -> None:
    tokens = text.answer("tea", random.Random(1), count)

    assert len(tokens) == count
    assert count == 1 or tokens[-1] == "."


def test_answer_to_a_tool_result_says_that_the_tool_has_answered() -> None:
    openings = {"".join(text.answer("tea", random.Random(seed), None, after_tool=True)).split(",")[0] for seed in range(20)}

    assert openings == {"The tool has answered", "With that result in hand"}


def test_topic_with_braces_stays_as_it_is() -> None:
    assert "{0.__class__}" in "".join(text.thoughts("{0.__class__}", random.Random(1)))


def test_blob_has_the_size_asked_for() -> None:
    assert len(text.blob(100_001).encode()) == 100_001
