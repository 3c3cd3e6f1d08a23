from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects.body import MOST_MEMBERS, Members, flag_field, read_object, text_field
from proxy.errors import BadRequest

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | NAMES
    | st.just("model"),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(NAMES | st.just("model"), inside, max_size=3),
    max_leaves=8,
)
SPACES = st.text(" \t\n\r", max_size=3)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, dict[str, Any], str]:
    """Write an object with a `model` as some client might: in any order, with any white space, escaped or not."""
    model = draw(NAMES)
    others = draw(st.dictionaries(NAMES.filter(lambda key: key.casefold() not in ("model", "stream")), VALUES, max_size=4))
    members = draw(st.permutations([*others.items(), ("model", model), ("stream", draw(st.booleans()))]))
    ascii_only = draw(st.booleans())

    def dump(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only)

    def space() -> str:
        return draw(SPACES)

    text = ",".join(f"{space()}{dump(key)}{space()}:{space()}{dump(value)}{space()}" for key, value in members)
    return f"{space()}{{{text}}}{space()}".encode(), dict(members), model


def model_of(body: bytes) -> str:
    return text_field(read_object(body), "model")


def refused(body: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as raised:
        text_field(read_object(body), "model")
    return raised.value


# ---- replacing the model


@given(bodies(), NAMES)
@settings(max_examples=150, deadline=None)
def test_replacing_the_model_changes_that_value_and_no_other_byte(written: tuple[bytes, dict[str, Any], str], new: str) -> None:
    body, values, model = written
    members = read_object(body)

    replaced = members.with_model(new)

    assert text_field(members, "model") == model
    assert json.loads(replaced) == {**values, "model": new}
    assert any(
        same_around(body, replaced, at, json.dumps(new, ensure_ascii=False).encode(), model) for at in range(len(replaced))
    )


def same_around(body: bytes, replaced: bytes, at: int, new: bytes, model: str) -> bool:
    """Tell whether *replaced* has *new* at *at* where *body* has its *model*, and is the same before it and behind it."""
    before, after = replaced[:at], replaced[at + len(new) :]
    if not (
        replaced.startswith(new, at) and body.startswith(before) and body.endswith(after) and len(before) + len(after) < len(body)
    ):
        return False
    try:
        return bool(json.loads(body[len(before) : len(body) - len(after)]) == model)
    except json.JSONDecodeError:
        return False


@pytest.mark.parametrize(
    ("body", "replaced"),
    [
        (b'{"model":"a"}', b'{"model":"new"}'),
        (b' { "model" :\t"a" , "x" : 1.0e5 } \n', b' { "model" :\t"new" , "x" : 1.0e5 } \n'),
        (b'{"x":{"model":"a"},"model":"a"}', b'{"x":{"model":"a"},"model":"new"}'),
        (b'{"x":"\\"model\\":\\"a\\"","model":"a"}', b'{"x":"\\"model\\":\\"a\\"","model":"new"}'),
        (b'{"x\\"model":"a","model":"b"}', b'{"x\\"model":"a","model":"new"}'),
        (b'{"model":"a\\"b\\\\"}', b'{"model":"new"}'),
        (b'{"mod\\u0065l":"a","x":1}', b'{"mod\\u0065l":"new","x":1}'),
        (b'{"x":"\\u00e9","model":"\\u00e9"}', b'{"x":"\\u00e9","model":"new"}'),
        ('{"x":"\u20ac","model":"\u20ac","y":"\u20ac"}'.encode(), '{"x":"\u20ac","model":"new","y":"\u20ac"}'.encode()),
        (
            '{"x":"\u20ac\\u0061","model":"\u20ac","y":["model"]}'.encode(),
            '{"x":"\u20ac\\u0061","model":"new","y":["model"]}'.encode(),
        ),
        (b'{"x":12345678901234567890123,"y":0.10,"model":"a"}', b'{"x":12345678901234567890123,"y":0.10,"model":"new"}'),
        (b'{"n":NaN,"model":"a"}', b'{"n":NaN,"model":"new"}'),
    ],
)
def test_the_model_is_replaced_where_it_stands(body: bytes, replaced: bytes) -> None:
    assert read_object(body).with_model("new") == replaced


@pytest.mark.parametrize(
    ("body", "replaced"),
    [
        (b"{}", b'{"model":"new"}'),
        (b' { "a": 1 } ', b' {"model":"new", "a": 1 } '),
        (b'{"a":"model"}', b'{"model":"new","a":"model"}'),
        (b'{"a":{"model":"b"}}', b'{"model":"new","a":{"model":"b"}}'),
        (b'{"a":{"model":"b"},"c":"model"}', b'{"model":"new","a":{"model":"b"},"c":"model"}'),
        (b'{"a":1,"model":null}', b'{"a":1,"model":"new"}'),
        (b'{"a":"\xe2\x82\xac","model": [1, {"model":2}] ,"b":1}', b'{"a":"\xe2\x82\xac","model": "new" ,"b":1}'),
        (b'{"model":{"model":"x"}}', b'{"model":"new"}'),
    ],
)
def test_a_model_is_put_where_there_is_none_or_something_else(body: bytes, replaced: bytes) -> None:
    """A deployment in the path names it, and the body need not."""
    assert read_object(body).with_model("new") == replaced


@pytest.mark.parametrize("model", ['a"b', "a\\b", "\u20ac", "a\nb"])
def test_a_model_s_name_is_written_as_json(model: str) -> None:
    replaced = read_object(b'{"model":"a","x":1}').with_model(model)

    assert json.loads(replaced) == {"model": model, "x": 1}


# ---- one model, whoever reads


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","x":{},"model":"a"}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"\\u006dodel":"a","\\u006Dodel":"b"}',
        b'{"model":"a","\\u006d\\u006f\\u0064\\u0065\\u006c":"b"}',
    ],
    ids=repr,
)
def test_a_model_told_twice_is_refused_however_it_is_written(body: bytes) -> None:
    assert refused(body).param == "model"


@pytest.mark.parametrize(
    "body", [b'{"model":"a","stream":true,"stream":false}', b'{"model":"a","stream":true,"\\u0073tream":false}'], ids=repr
)
def test_a_wish_for_a_stream_told_twice_is_refused(body: bytes) -> None:
    assert refused(body).param == "stream"


@pytest.mark.parametrize("key", ["Model", "MODEL", "mOdel", "\\u004dodel"])
def test_a_key_that_go_takes_for_the_model_is_refused(key: str) -> None:
    """Ollama and others match keys whatever their case, and the last one wins."""
    for body in (f'{{"model":"allowed","{key}":"other"}}', f'{{"{key}":"other"}}', f'{{"{key}":"a","x":"\\u0061"}}'):
        error = refused(body.encode())

        assert error.param == "model"
        assert "lower case" in error.public


@pytest.mark.parametrize("key", ["Stream", "\u017ftream", "\\u017ftream"])
def test_a_key_that_go_takes_for_the_stream_flag_is_refused(key: str) -> None:
    assert refused(f'{{"model":"a","{key}":true}}'.encode()).param == "stream"


@pytest.mark.parametrize("body", [b'{"model":"a","x":{"model":"b","Model":1}}', b'{"model":"a","models":1,"modes":2,"streams":3}', b'{"model":"a","x":1,"x":2}', b'{"model":"a","x":1,"x":2,"y":"\\u0061"}'], ids=repr)  # fmt: skip
def test_keys_that_decide_nothing_may_stand_as_they_like(body: bytes) -> None:
    assert model_of(body) == "a"


@pytest.mark.parametrize("decoy", [b'{"model":1}', b'"\\u0061"'], ids=["nested model", "escaped letter"])
def test_members_that_are_looked_at_one_by_one_are_bounded(decoy: bytes) -> None:
    """They take a hundred times as long as those that are not, and everybody's streams wait meanwhile."""
    most, more = (b'{"model":"a","x":%b%b}' % (decoy, b',"y":1' * (count - 2)) for count in (MOST_MEMBERS, MOST_MEMBERS + 1))

    assert model_of(most) == "a"
    assert f"more than {MOST_MEMBERS} members" in refused(more).public


# ---- what is not a request


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"  ", "not valid JSON"),
        (b"null", "a JSON object"),
        (b"[]", "a JSON object"),
        (b'"model"', "a JSON object"),
        (b'{"model":"a"}x', "Extra data"),
        (b"{ } x", "Extra data"),
        (b'{"model":"a"}{"model":"b"}', "Extra data"),
        (b'{"model":"a",}', "property name"),
        (b'{"model":"a"', "',' or '}'"),
        (b'{"model" "a"}', "':'"),
        (b"{'model':'a'}", "property name"),
        (b'{model:"a"}', "property name"),
        (b'{"model":"a\nb"}', "control character"),
        (b'{"model":"a","x":\x00}', "not valid JSON"),
        (b'\x0c{"model":"a"}', "a JSON object"),
        (b'\xef\xbb\xbf{"model":"a"}', "a JSON object"),
        ('{"model":"a"}'.encode("utf-16"), "not UTF-8"),
        (b'{"model":"\xff"}', "not UTF-8 (byte 10)"),
        (b'{"model":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"model":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"model":"a","x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "nested too deeply"),
        (b'{"model":"a","x":' + b"1" * 5000 + b"}", "too many digits"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes, words: str) -> None:
    assert words in refused(body).public


def test_a_refusal_says_where_and_never_repeats_what_was_sent() -> None:
    error = refused(b'{\n "model": s3cr3t}')

    assert error.public == "The request body is not valid JSON: Expecting value at line 2, column 11."
    assert "s3cr3t" not in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","x":NaN}',
        b'{"model":"a","x":-Infinity}',
        b'{"model":"a","x":1e999}',
        b'{"model":"a","x":"\\ud800"}',
        b'{"model":"a","x":123456789012345678901234567890}',
        b'{"model":"a","x":' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"model":"a","":1,"\\u0000":2}',
    ],
)
def test_what_upstreams_may_bear_is_borne(body: bytes) -> None:
    members = read_object(body)

    assert text_field(members, "model") == "a"
    assert members.with_model("a") == body


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "is missing"),
        (b'{"x":"\\u0061"}', "is missing"),
        (b'{"model":""}', "non-empty string"),
        (b'{"model":null}', "non-empty string"),
        (b'{"model":1}', "non-empty string"),
        (b'{"model":["a"]}', "non-empty string"),
        (b'{"model":"\\ud800"}', "surrogate"),
        (b'{"model":"a\\udfff"}', "surrogate"),
    ],
)
def test_the_model_must_be_a_name(body: bytes, words: str) -> None:
    error = refused(body)

    assert words in error.public
    assert error.param == "model"


@pytest.mark.parametrize(("value", "flag"), [("true", True), ("false", False), ("null", False)])
def test_a_flag_is_true_or_false(value: str, flag: bool) -> None:
    assert flag_field(read_object(f'{{"stream":{value}}}'.encode()), "stream") is flag
    assert flag_field(read_object(b"{}"), "stream") is False


@pytest.mark.parametrize("value", ["1", "0", '"true"', "[]", "{}"])
def test_a_flag_is_nothing_else(value: str) -> None:
    members = read_object(f'{{"stream":{value}}}'.encode())

    with pytest.raises(BadRequest) as raised:
        flag_field(members, "stream")

    assert raised.value.param == "stream"


@given(st.binary(max_size=60))
def test_no_body_is_too_strange_to_be_refused(body: bytes) -> None:
    try:
        members = read_object(body)
        text_field(members, "model")
    except BadRequest:
        return

    assert isinstance(members, Members)
