from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.settings.document import Document
from proxy.settings.secret_files import MAX_BYTES, read_secret_files


def read(**upstream: Any) -> Document:
    document = Document("c.yaml", data={"upstreams": {"a": upstream}}, places={("upstreams", "a", "api_key_file"): "c.yaml:3:9"})
    read_secret_files(document)
    return document


def problems(document: Document) -> list[str]:
    return [str(problem) for problem in document.broken.values()]


@pytest.mark.parametrize("content", [b"sk-1", b"sk-1\n", b"sk-1\r\n", b"sk-1\n\n"])
def test_the_content_is_the_secret_without_its_last_line_break(content: bytes) -> None:
    Path("key").write_bytes(content)

    document = read(api_key_file="key", api_key="")

    assert document.data["upstreams"]["a"]["api_key"] == "sk-1"
    assert document.where(("upstreams", "a", "api_key")) == "c.yaml:3:9"


@pytest.mark.parametrize("name", ["api_key", "secret", "proxy", "store"])
def test_any_secret_can_be_a_file(name: str) -> None:
    Path("s").write_text("x")
    document = Document("c.yaml", data={"section": [{f"{name}_file": "s"}]})

    read_secret_files(document)

    assert document.data["section"][0][name] == "x"


def test_a_missing_file_is_reported_where_it_is_named() -> None:
    assert problems(read(api_key_file="none")) == [
        "c.yaml:3:9 upstreams.a.api_key_file: the file with the secret cannot be used: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\n", "it is empty"), (b"\xff\xfe", "it is not UTF-8"), (b"x" * (MAX_BYTES + 1), "it is too large for a secret")],
)
def test_a_file_that_holds_no_secret_is_refused(content: bytes, reason: str) -> None:
    Path("key").write_bytes(content)

    assert problems(read(api_key_file="key"))[0].endswith(f"cannot be used: {reason}")


def test_a_secret_is_written_in_one_way_only() -> None:
    Path("key").write_text("x")

    assert problems(read(api_key_file="key", api_key="y")) == [
        "c.yaml:3:9 upstreams.a.api_key_file: api_key is set too: remove one of them"
    ]


@pytest.mark.parametrize("value", [None, "", ["x"]])
def test_no_name_reads_no_file(value: object) -> None:
    document = read(api_key_file=value)

    assert "api_key" not in document.data["upstreams"]["a"]
    assert document.broken == {}


def test_a_header_of_such_a_name_is_a_header() -> None:
    document = read(headers={"secret_file": "none"})

    assert document.broken == {}
