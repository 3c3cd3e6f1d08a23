from __future__ import annotations

import orjson

from proxy.simulator.reply import Prompt, Shape, Tool, compose, tools_to_call

WEATHER = Tool("weather", {"type": "object", "properties": {"city": {"type": "string"}}})
CLOCK = Tool("clock")
PROMPT = Prompt(last="About tea", question="About tea", tokens_in=3)


def asked(**fields: object) -> Prompt:
    return Prompt(**{"last": "About tea", "question": "About tea", "tokens_in": 3, **fields})  # type: ignore[arg-type]


def test_same_prompt_gets_the_same_reply() -> None:
    assert compose(PROMPT, Shape(), seed=0) == compose(PROMPT, Shape(), seed=0)


def test_last_message_seed_and_choice_each_change_the_reply() -> None:
    replies = [
        compose(PROMPT, Shape(), seed=0),
        compose(PROMPT, Shape(), seed=1),
        compose(PROMPT, Shape(), seed=0, index=1),
        compose(asked(last="And then?"), Shape(), seed=0),
    ]

    assert len({reply.id for reply in replies}) == 4
    assert len({reply.text for reply in replies}) == 4


def test_limit_cuts_thoughts_first_and_then_words() -> None:
    free = compose(asked(thinks=True), Shape(), seed=0)
    some = compose(asked(thinks=True, limit=len(free.reasoning) + 2), Shape(), seed=0)
    few = compose(asked(thinks=True, limit=5), Shape(), seed=0)

    assert not free.cut
    assert (some.cut, some.reasoning, some.text) == (True, free.reasoning, free.text[:2])
    assert (few.cut, few.reasoning, few.text) == (True, free.reasoning[:5], ())


def test_limit_that_just_suffices_cuts_nothing() -> None:
    reply = compose(asked(limit=7), Shape(tokens=7), seed=0)

    assert (len(reply.text), reply.cut) == (7, False)


def test_only_a_thinking_model_has_thoughts() -> None:
    assert compose(PROMPT, Shape(), seed=0).reasoning == ()
    assert compose(asked(thinks=True), Shape(), seed=0).reasoning != ()


def test_tools_are_called_instead_of_an_answer_in_words() -> None:
    reply = compose(asked(calls=(WEATHER, CLOCK)), Shape(), seed=0)

    weather, clock = reply.calls
    assert reply.text == ()
    assert (weather.name, clock.name) == ("weather", "clock")
    assert orjson.loads("".join(weather.arguments)).keys() == {"city"}
    assert orjson.loads("".join(clock.arguments)) == {}
    assert len(weather.arguments) > 2
    assert weather.id != clock.id


def test_limit_cuts_the_arguments_of_a_call() -> None:
    reply = compose(asked(calls=(WEATHER, CLOCK), limit=2), Shape(), seed=0)

    assert [call.name for call in reply.calls] == ["weather"]
    assert (len(reply.calls[0].arguments), reply.cut) == (2, True)


def test_answer_to_a_schema_is_json_that_fits_it() -> None:
    schema = {"type": "object", "properties": {"sure": {"type": "boolean"}}}

    reply = compose(asked(schema=schema), Shape(), seed=0)

    assert orjson.loads("".join(reply.text)) == {"sure": True}


def test_huge_piece_stands_among_ordinary_ones_and_is_billed() -> None:
    reply = compose(PROMPT, Shape(tokens=6, size=160_000), seed=0)

    assert [len(piece) > 100 for piece in reply.text] == [False, False, False, True, False, False, False]
    assert (reply.pieces, reply.tokens) == (7, 10_007)


def test_first_tool_is_called_unless_another_is_named() -> None:
    tools = [WEATHER, CLOCK]

    assert tools_to_call(tools, "What time is it?", named=None, parallel=None) == (WEATHER,)
    assert tools_to_call(tools, "What time is it?", named="clock", parallel=None) == (CLOCK,)
    assert tools_to_call([], "What time is it?", named=None, parallel=True) == ()


def test_two_tools_are_called_when_the_question_or_the_client_asks_for_two() -> None:
    tools = [WEATHER, CLOCK]

    assert tools_to_call(tools, "Check both, please", named=None, parallel=None) == (WEATHER, CLOCK)
    assert tools_to_call(tools, "Check", named=None, parallel=True) == (WEATHER, CLOCK)
    assert tools_to_call(tools, "Check both, please", named=None, parallel=False) == (WEATHER,)
    assert tools_to_call([WEATHER], "two cities", named=None, parallel=None) == (WEATHER, WEATHER)
    assert tools_to_call(tools, "two clocks", named="clock", parallel=None) == (CLOCK, CLOCK)


def test_answer_ends_before_the_first_stop_sequence() -> None:
    whole = "".join(compose(PROMPT, Shape(), seed=0).text)
    late, early = whole[40:45], whole[20:25]

    reply = compose(asked(stops=("not in it", late, early)), Shape(), seed=0)

    assert "".join(reply.text) == whole[: whole.index(early)]
    assert (reply.stopped, reply.cut) == (early, False)


def test_answer_without_a_stop_sequence_goes_on() -> None:
    assert compose(asked(stops=("not in it",)), Shape(), seed=0) == compose(PROMPT, Shape(), seed=0)


def test_limit_before_a_stop_sequence_is_what_ended_it() -> None:
    whole = "".join(compose(PROMPT, Shape(), seed=0).text)

    reply = compose(asked(stops=(whole[60:70],), limit=3), Shape(), seed=0)

    assert (reply.cut, reply.stopped) == (True, None)


def test_arguments_of_a_call_are_an_object_and_an_empty_one_when_cut() -> None:
    (whole,) = compose(asked(calls=(WEATHER,)), Shape(), seed=0).calls
    (cut,) = compose(asked(calls=(WEATHER,), limit=2), Shape(), seed=0).calls

    assert whole.values.keys() == {"city"}
    assert cut.values == {}
