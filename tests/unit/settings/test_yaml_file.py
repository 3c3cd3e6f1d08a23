from __future__ import annotations

from pathlib import Path

import pytest

from proxy.settings.document import Document
from proxy.settings.problems import SettingsError
from proxy.settings.yaml_file import MAX_BYTES, read_file


def read(text: str | bytes, **environ: str) -> Document:
    Path("c.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_file("c.yaml", environ)


def refusal(text: str | bytes) -> str:
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert len(caught.value.problems) == 1
    return str(caught.value)


def test_scalars_stay_texts_and_only_null_is_none() -> None:
    document = read("a: 1\nb: off\nc: 012\nd: 'null'\ne: null\nf: ~\ng:\nh: 1e5\ni: 2001-01-01\nj: ''\nk: [no, 0x1]")

    assert document.data == {
        "a": "1", "b": "off", "c": "012", "d": "null", "e": None, "f": None, "g": None,
        "h": "1e5", "i": "2001-01-01", "j": "", "k": ["no", "0x1"],
    }  # fmt: skip


def test_every_value_and_key_has_its_place() -> None:
    document = read("limits:\n  body: 1\nmodels:\n  - name: a\n")

    assert document.places == {
        (): "c.yaml:1:1",
        ("limits",): "c.yaml:2:3",
        ("limits", "body"): "c.yaml:2:9",
        ("models",): "c.yaml:4:3",
        ("models", 0): "c.yaml:4:5",
        ("models", 0, "name"): "c.yaml:4:11",
    }
    assert document.keys["limits", "body"] == "c.yaml:2:3"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null"])
def test_an_empty_file_is_an_empty_configuration(text: str) -> None:
    assert read(text).data == {}


def test_a_byte_order_mark_is_not_part_of_the_first_key() -> None:
    assert read(b"\xef\xbb\xbflisten: a").data == {"listen": "a"}


def test_references_are_replaced_in_values_after_the_structure_is_read() -> None:
    document = read("a: ${X}\nb: ['${X}']\n${X}: c", X="1, {d: e}\nf: g")

    assert document.data == {"a": "1, {d: e}\nf: g", "b": ["1, {d: e}\nf: g"], "${X}": "c"}


def test_a_reference_without_a_value_is_noted_with_its_place() -> None:
    document = read("a:\n  b: ${X}\n")

    assert [str(problem) for problem in document.broken.values()] == [
        "c.yaml:2:6 a.b: the environment variable X is not set: set it, or write ${X:-} if it may be missing"
    ]


def test_a_key_that_is_there_twice_is_noted_at_its_second_place() -> None:
    document = read("a:\n  b: 1\n  c: 2\n  b: 3\n")

    assert [str(problem) for problem in document.strays] == [
        "c.yaml:4:3 a.b: this key is already there in line 2: remove one of them"
    ]
    assert document.data == {"a": {"b": "1", "c": "2"}}


def test_aliases_repeat_their_value_with_places_of_their_own() -> None:
    document = read("a: &x {k: ['1']}\nb: *x\n")

    assert document.data == {"a": {"k": ["1"]}, "b": {"k": ["1"]}}
    assert document.data["a"] is not document.data["b"]
    assert document.where(("b", "k", 0)) == "c.yaml:1:12"


def test_a_merge_key_fills_in_what_the_mapping_does_not_say() -> None:
    document = read("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 9\n")

    assert document.data["c"] == {"x": "9", "y": "2", "z": "4"}
    assert document.strays == []


def test_a_merge_key_takes_mappings_only() -> None:
    document = read("a: {<<: text}")

    assert [str(problem) for problem in document.strays] == ["c.yaml:1:9 a.<<: expected an alias of a mapping"]


@pytest.mark.parametrize("text", ["a: !!python/object/apply:os.system [id]", "a: !!binary aGk=", "a: !own x", "a: !!set {x}"])
def test_tags_are_refused(text: str) -> None:
    document = read(text)

    assert [str(problem) for problem in document.broken.values()] == [
        "c.yaml:1:4 a: YAML tags are not accepted here: write a plain value"
    ]


def test_a_key_that_is_no_word_is_refused() -> None:
    document = read("? [a, b]\n: c\n")

    assert [str(problem) for problem in document.strays] == ["c.yaml:1:3: expected a plain word as a key"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1, 2\n", "c.yaml:2:1"),
        ("a: b: c", "c.yaml:1:5"),
        ("a: b\n\tc: d", "c.yaml:2:1"),
        ("a: *nobody", "c.yaml:1:4"),
        ("a: 1\n---\nb: 2", "c.yaml:2:1"),
        ("a: 'x", "c.yaml:1:6"),
    ],
)
def test_broken_yaml_is_reported_alone_with_its_place(text: str, place: str) -> None:
    assert refusal(text).startswith(f"{place}: this is not valid YAML: ")


@pytest.mark.parametrize(("text", "place"), [("a:\n\tb: c", "c.yaml:2:1"), ("a:\r\n  b: 1\r\n\tc: d\r\n", "c.yaml:3:1")])
def test_a_line_that_is_indented_by_a_tab_is_told_to_use_spaces(text: str, place: str) -> None:
    assert refusal(text) == f"{place}: this is not valid YAML: a tab cannot indent: write spaces"


def test_a_control_character_is_refused() -> None:
    assert refusal("a: \x01") == "c.yaml:1:1: this is not valid YAML: the file holds a control character"


def test_a_file_in_another_encoding_is_refused() -> None:
    assert refusal("a: 1\nb: ü".encode("latin-1")) == "c.yaml:2:1: the file is not UTF-8"


@pytest.mark.parametrize("text", ["- a", "text", "[]"])
def test_a_file_must_be_a_mapping(text: str) -> None:
    assert refusal(text).startswith("c.yaml:1:1: expected a mapping of settings")


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    assert "too many or too deeply nested values: look at the aliases" in refusal("\n".join(lines))


def test_an_alias_of_itself_is_refused() -> None:
    assert "too deeply nested" in refusal("a: &a [*a]")


def test_deep_nesting_is_refused_before_it_can_exhaust_the_stack() -> None:
    assert refusal("a: " + "[" * 200_000 + "]" * 200_000) == "c.yaml:1:35: the values are nested too deeply"


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        read_file("none.yaml", {})

    assert str(caught.value) == "none.yaml: the file cannot be read: No such file or directory"


def test_a_directory_is_no_file() -> None:
    with pytest.raises(SettingsError, match="Is a directory"):
        read_file(".", {})


def test_a_file_that_is_far_too_large_is_refused() -> None:
    assert refusal(b"#" * (MAX_BYTES + 1)) == "c.yaml: the file is too large for a configuration"
