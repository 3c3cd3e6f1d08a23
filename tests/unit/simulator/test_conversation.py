from __future__ import annotations

import pytest

from proxy.simulator.conversation import Conversation, Said, Span, TokensIn


def person(text: str = "Hello", *, results: str = "", spans: tuple[Span, ...] = ()) -> Said:
    return Said(by_model=False, text=text, question="" if results else text, results=frozenset(results), spans=spans)


def model(text: str = "Well", *, calls: str = "", spans: tuple[Span, ...] = ()) -> Said:
    return Said(by_model=True, text=text, calls=frozenset(calls), spans=spans)


def test_question_is_the_last_thing_that_a_person_said() -> None:
    conversation = Conversation([person("On tea"), model(calls="a"), person("21 degrees", results="a")])

    assert (conversation.question, conversation.last) == ("On tea", "21 degrees")


def test_question_is_the_last_message_where_no_person_said_anything() -> None:
    assert Conversation([model("Well")]).question == "Well"


@pytest.mark.parametrize(
    ("messages", "after"),
    [
        ([person()], False),
        ([person(), model(calls="a"), person(results="a")], True),
        ([person(), model(calls="a"), person(results="a"), model(), person()], False),
    ],
)
def test_only_results_in_the_last_message_make_it_an_answer_to_a_tool(messages: list[Said], after: bool) -> None:
    assert Conversation(messages).after_tool is after


@pytest.mark.parametrize(
    "messages",
    [
        [person(), model(calls="ab"), person(results="ab")],
        [person(), model(calls="ab"), person(results="a"), person(results="b")],
        [person(), model(calls="a"), model(calls="b"), person(results="ab"), model(), person()],
    ],
    ids=["in one message", "in two messages of one turn", "of two messages of one turn"],
)
def test_calls_that_the_next_turn_answers_are_in_order(messages: list[Said]) -> None:
    conversation = Conversation(messages)

    assert (conversation.orphan(), conversation.unanswered()) == (None, None)


@pytest.mark.parametrize(
    ("messages", "index"),
    [
        ([person(results="a")], 0),
        ([person(), model(calls="a"), person(results="ab")], 2),
        ([person(), model(calls="a"), person(results="a"), model(), person(), person(results="a")], 5),
    ],
    ids=["without a turn before", "one too many", "a turn too late"],
)
def test_result_without_its_call_is_found(messages: list[Said], index: int) -> None:
    assert Conversation(messages).orphan() == index


@pytest.mark.parametrize(
    ("messages", "index"),
    [
        ([person(), model(calls="ab"), person(results="a")], 1),
        ([person(), model(calls="a"), model(), person()], 2),
        ([person(), model(calls="a")], 1),
    ],
    ids=["one of two", "all", "at the end"],
)
def test_call_without_its_result_is_found(messages: list[Said], index: int) -> None:
    assert Conversation(messages).unanswered() == index


def test_tokens_without_a_mark_are_all_fresh() -> None:
    conversation = Conversation([person(spans=(Span(10), Span(20)))], before=(Span(5),))

    assert conversation.tokens() == TokensIn(fresh=35)


def test_first_request_writes_what_is_marked() -> None:
    conversation = Conversation([person(spans=(Span(10, "5m"), Span(20)))], before=(Span(5), Span(7, "1h")))

    tokens = conversation.tokens()

    assert tokens == TokensIn(fresh=20, written={"1h": 12, "5m": 10})
    assert tokens.total == 42


def test_next_request_reads_what_was_sent_before_the_last_answer_and_writes_the_rest() -> None:
    messages = [
        person(spans=(Span(10),)),
        model(spans=(Span(1),)),
        person(spans=(Span(20),)),
        model(spans=(Span(2),)),
        person(spans=(Span(30, "5m"),)),
    ]

    tokens = Conversation(messages, before=(Span(5),)).tokens()

    assert tokens == TokensIn(fresh=0, read=36, written={"5m": 32})


def test_what_comes_after_the_last_mark_is_fresh_however_old() -> None:
    messages = [person(spans=(Span(10),)), model(spans=(Span(1),)), person(spans=(Span(20),))]

    tokens = Conversation(messages, before=(Span(5, "5m"),)).tokens()

    assert tokens == TokensIn(fresh=31, read=5)
