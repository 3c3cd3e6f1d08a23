"""Reads the top level of a JSON request body once, and remembers where its model stands.

Knowing that place lets the proxy replace the bytes of `model` and leave every other byte as the client wrote it.

For editors: routing and authorisation must see the model that the upstream will see. Readers of JSON differ about a key
that stands twice (first or last), that is written with escapes, or that differs in case only (Go ignores case), so a body
in which two readers could find two models is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.errors import BadRequest

MOST_MEMBERS: Final = 10_000  # that are looked at one by one: the largest body's millions would keep every stream waiting

_READ: Final = ("model", "stream")  # the keys that decide something here
_WHITESPACE: Final = re.compile(r"[ \t\n\r]*")
_TO_VALUE: Final = re.compile(rb'"model"[ \t\n\r]*:[ \t\n\r]*')
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_DECODER: Final = json.JSONDecoder()


class Members:
    """The members of a JSON object. *span* is where the value of `model` stands; None: where `"model"` stands but once."""

    __slots__ = ("_body", "_span", "model", "values")

    def __init__(self, body: bytes, values: Mapping[str, Any], span: tuple[int, int] | None = None) -> None:
        model = values.get("model")
        self.model: str | None = model if isinstance(model, str) else None  # None also where it is something that is no name
        self.values = values
        self._body = body
        self._span = span

    def with_model(self, model: str) -> bytes:
        """Return the body with *model* as the value of its `model`, as its first member if there is none; no other byte changes."""
        body, value = self._body, json.dumps(model, ensure_ascii=False).encode()
        if "model" not in self.values:
            start = body.index(b"{") + 1
            return b'%b"model":%b%b%b' % (body[:start], value, b"," if self.values else b"", body[start:])
        start, end = self._span or (_only_model(body) if self.model is not None else _scan(body.decode())[1])
        return b"%b%b%b" % (body[:start], value, body[end:])


def read_object(body: bytes) -> Members:
    """Read *body* as one JSON object.

    Raises BadRequest for anything else, and where the model or the wish for a stream is told twice. The quick reader does
    not report such keys, so a body in which they may stand twice, however written, takes the exact one.
    """
    if body.count(b'"model"') < 2 and body.count(b'"stream"') < 2 and not _escapes_letters(body):
        try:
            values = orjson.loads(body)
        except orjson.JSONDecodeError:
            values = None  # the exact reader says what is wrong, or is more lenient
        if type(values) is dict:
            _refuse_lookalikes(values)
            return Members(body, values)
    return _exactly(body)


def _escapes_letters(body: bytes) -> bool:
    """Tell whether letters of the two keys may be escaped: each would be \\u006x or \\u007x."""
    return b"\\" in body and b"\\u00" in body and (b"\\u006" in body or b"\\u007" in body)  # a single byte is soon looked for


def text_field(members: Members, key: str) -> str:
    """Return a member that must be a non-empty string. Raises BadRequest that names it."""
    value = members.values.get(key)
    if not isinstance(value, str) or not value:
        problem = "is missing" if key not in members.values else "must be a non-empty string"
        raise BadRequest(f"The field '{key}' {problem}.", param=key)
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise BadRequest(f"The field '{key}' holds half of a surrogate pair.", param=key)
    return value


def flag_field(members: Members, key: str) -> bool:
    """Return a member that must be true, false, null or absent. Raises BadRequest that names it."""
    value = members.values.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise BadRequest(f"The field '{key}' must be true or false.", param=key)


def _only_model(body: bytes) -> tuple[int, int]:
    """Return where the value of the only `"model"` stands."""
    value = _TO_VALUE.match(body, body.index(b'"model"'))
    assert value is not None  # it is a key: `read_object` has found it among the members
    text = _STRING.match(body, value.end())
    assert text is not None  # and its value is a string: the caller has looked
    return text.span()


def _refuse_lookalikes(values: Mapping[str, Any]) -> None:
    keys = "".join(values)
    if keys.islower() and keys.isascii():
        return  # as nearly always: no key could be read as another
    for key in values:
        if 4 < len(key) < 7 and key not in _READ and key.casefold() in _READ:
            raise BadRequest(f"The field '{key.casefold()}' must be written in lower case.", param=key.casefold())


def _exactly(body: bytes) -> Members:
    try:
        values, span = _scan(body.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise BadRequest(f"The request body is not UTF-8 (byte {exc.start}).") from exc
    except json.JSONDecodeError as exc:
        raise BadRequest(f"The request body is not valid JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}.") from exc
    except ValueError as exc:
        raise BadRequest("The request body holds a number with too many digits.") from exc
    except RecursionError as exc:
        raise BadRequest("The request body is nested too deeply.") from exc
    _refuse_lookalikes(values)
    return Members(body, values, span)


def _scan(text: str) -> tuple[dict[str, Any], tuple[int, int]]:
    """Return the members, and where in the encoded text the value of `model` stands."""
    values: dict[str, Any] = {}
    span = (0, 0)
    at = _skip(text, _expect(text, _skip(text, 0), "{", "a JSON object"))
    if text[at : at + 1] == "}":
        _end(text, at + 1)
        return values, span
    for _ in range(MOST_MEMBERS):
        _expect(text, at, '"', "a property name in double quotes")
        key, at = _DECODER.raw_decode(text, at)
        if key in _READ and key in values:
            raise BadRequest(f"The request body holds the key '{key}' twice.", param=key)
        start = _skip(text, _expect(text, _skip(text, at), ":", "':'"))
        values[key], at = _DECODER.raw_decode(text, start)
        if key == "model":
            before = len(text[:start].encode())
            span = (before, before + len(text[start:at].encode()))
        at = _skip(text, at)
        if text[at : at + 1] == "}":
            _end(text, at + 1)
            return values, span
        at = _skip(text, _expect(text, at, ",", "',' or '}'"))
    raise BadRequest(f"The request body has more than {MOST_MEMBERS} members.")


def _end(text: str, at: int) -> None:
    at = _skip(text, at)
    if at != len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _expect(text: str, at: int, char: str, what: str) -> int:
    if text[at : at + 1] != char:
        raise json.JSONDecodeError(f"Expecting {what}", text, at)
    return at + 1


def _skip(text: str, at: int) -> int:
    return _WHITESPACE.match(text, at).end()  # type: ignore[union-attr]  # matches the empty string too
