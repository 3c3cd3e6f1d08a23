"""Writes the simulated model's words: readable sentences about the topic of a question, cut into tokens.

Everything here is a pure function of its arguments, the generator of random numbers included.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Final

NATURAL_TOKENS: Final = 55  # an answer of whole sentences goes on until it has at least so many
NO_TOPIC: Final = "this question"

_TOKEN: Final = re.compile(r"\s?\w{1,7}|\s?[^\w\s]|\s+")
_WORD: Final = re.compile(r"\w[\w'’.-]*\w|\w")
_TOPIC_WORDS: Final = 4
_LOOK_AT: Final = 2000  # characters of a question that are looked at; prompts may be megabytes
_SMALL_WORDS: Final = """
a about an and any are as at be briefly can could describe do does explain for from give hello hi how i in is it its let
me my of on or our please say short should some tell than that the their them there this to us was we what when where
which who why will with word words would write you your
"""
_STOP_WORDS: Final = frozenset(_SMALL_WORDS.split())

_OPENINGS: Final = (
    "Here is what matters about {topic}.",
    "Let us look at {topic} step by step.",
    "In short, there is less to {topic} than it seems.",
    "A good way into {topic} is a small example.",
)
_AFTER_TOOL: Final = (
    "The tool has answered, so here is the short version of {topic}.",
    "With that result in hand, the rest of {topic} is simple.",
)
_SENTENCES: Final = (
    "The first thing to notice about {topic} is that timing matters more than size.",
    "Most people meet {topic} when something slow has to feel fast.",
    "It pays to measure first, because trouble rarely sits where one expects it.",
    "A small experiment says more about {topic} than a long discussion.",
    "Each part has one job, and the parts meet at clear borders.",
    "When in doubt, keep the simple version and write down why.",
    "Details differ from case to case, yet the idea stays the same.",
    "Think of a café: the first cup comes at once, not the whole tray at the end.",
    "“Good enough” is a number here, so it can be checked.",
    "In practice, one gets the most out of {topic} when every step can be watched.",
    "The usual mistake is to wait for the end – the middle already tells a lot.",
    "What remains is patience: look twice at {topic} before you change a thing.",
)
_THOUGHTS: Final = (
    "The question is about {topic}.",
    "First I should find out what is really asked.",
    "An example will help more than a definition.",
    "I will keep it short and name the usual mistake.",
)


def topic_of(question: str) -> str:
    """Return the few words that a question is about, in its own order and spelling."""
    words = _WORD.findall(question[:_LOOK_AT])
    return " ".join([word for word in words if word.lower() not in _STOP_WORDS][:_TOPIC_WORDS]) or NO_TOPIC


def split(text: str) -> list[str]:
    """Cut *text* into tokens of a few characters; joined again they are *text*."""
    return _TOKEN.findall(text)


def estimate(text: str) -> int:
    """Return about how many tokens *text* has, cheaply for a text of any size."""
    return (len(text) + 3) // 4


def answer(topic: str, rng: random.Random, count: int | None, *, after_tool: bool = False) -> list[str]:
    """Return the tokens of an answer: exactly *count*, or whole sentences of a natural length."""
    sentences = _prose(topic, rng, _AFTER_TOOL if after_tool else _OPENINGS)
    tokens: list[str] = []
    while len(tokens) < (NATURAL_TOKENS if count is None else count):
        tokens += split((" " if tokens else "") + next(sentences))
    if count is None or count == len(tokens):
        return tokens
    return [*tokens[: count - 1], "." if count > 1 else tokens[0]]


def thoughts(topic: str, rng: random.Random) -> list[str]:
    """Return the tokens of a reasoning model's thinking aloud."""
    chosen = [_THOUGHTS[0], *rng.sample(_THOUGHTS[1:], 2)]
    return split(" ".join(chosen).format(topic=topic))


def blob(size: int) -> str:
    """Return readable filler of exactly *size* ASCII characters."""
    line = "a very long line of text that one event has to carry whole, "
    return (line * (size // len(line) + 1))[:size]


def _prose(topic: str, rng: random.Random, openings: tuple[str, ...]) -> Iterator[str]:
    yield rng.choice(openings).format(topic=topic)
    while True:
        for sentence in rng.sample(_SENTENCES, len(_SENTENCES)):
            yield sentence.format(topic=topic)
