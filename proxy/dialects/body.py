"""Reads the top level of a JSON request body once, exactly, and remembers where each value stands.

The standard library's C scanner does the work. Knowing the place of a value lets the proxy replace the bytes of `model`
and leave every other byte as the client wrote it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.errors import BadRequest

_WHITESPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


class Members:
    """The members of a JSON object, and where their values stand."""

    __slots__ = ("_body", "_spans", "values")

    def __init__(self, body: bytes, values: Mapping[str, Any], spans: Mapping[str, tuple[int, int]] | None = None) -> None:
        self.values = values
        self._body = body
        self._spans = spans

    def byte_span(self, key: str) -> tuple[int, int]:
        """Return where the value of *key* stands in the body's bytes; the body is scanned for it only now."""
        text = self._body.decode()
        if self._spans is None:
            self._spans = _scan(text)[1]
        start, end = self._spans[key]
        if len(text) == len(self._body):
            return start, end
        before = len(text[:start].encode())
        return before, before + len(text[start:end].encode())

    def with_model(self, model: str) -> bytes:
        """Return the body with *model* as the value of its `model`; no other byte changes."""
        start, end = self.byte_span("model")
        return b"%b%b%b" % (self._body[:start], json.dumps(model, ensure_ascii=False).encode(), self._body[end:])


def read_object(body: bytes) -> Members:
    """Read *body* as one JSON object.

    Raises BadRequest for anything else, and for a key that stands twice at the top level: two readers could then
    disagree about the model, and routing and authorisation must see what the upstream sees. The quick reader does not
    report such keys, so a body in which the two keys that matter may stand twice, however written, takes the exact one.
    """
    if body.count(b'"model"') < 2 and body.count(b'"stream"') < 2 and b"\\u00" not in body:
        try:
            values = orjson.loads(body)
        except orjson.JSONDecodeError:
            values = None  # the exact reader says what is wrong, or is more lenient
        if type(values) is dict:
            return Members(body, values)
    return _exactly(body)


def _exactly(body: bytes) -> Members:
    try:
        values, spans = _scan(body.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise BadRequest(f"The request body is not UTF-8 (byte {exc.start}).") from exc
    except json.JSONDecodeError as exc:
        raise BadRequest(f"The request body is not valid JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}.") from exc
    except RecursionError as exc:
        raise BadRequest("The request body is nested too deeply.") from exc
    return Members(body, values, spans)


def _scan(text: str) -> tuple[dict[str, Any], dict[str, tuple[int, int]]]:
    values: dict[str, Any] = {}
    spans: dict[str, tuple[int, int]] = {}
    at = _expect(text, _skip(text, 0), "{", "a JSON object")
    at = _skip(text, at)
    if text[at : at + 1] == "}":
        _end(text, at + 1)
        return values, spans
    while True:
        _expect(text, at, '"', "a property name in double quotes")
        key, at = _DECODER.raw_decode(text, at)
        if key in values:
            known = key if key in ("model", "stream") else None  # other keys are the client's own words, and not repeated
            raise BadRequest(f"The request body holds a key twice, the second one up to character {at}.", param=known)
        start = _skip(text, _expect(text, _skip(text, at), ":", "':'"))
        values[key], at = _DECODER.raw_decode(text, start)
        spans[key] = (start, at)
        at = _skip(text, at)
        if text[at : at + 1] == "}":
            _end(text, at + 1)
            return values, spans
        at = _skip(text, _expect(text, at, ",", "',' or '}'"))


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


def text_field(members: Members, key: str) -> str:
    """Return a member that must be a non-empty string. Raises BadRequest that names it."""
    value = members.values.get(key)
    if not isinstance(value, str) or not value:
        problem = "is missing" if key not in members.values else "must be a non-empty string"
        raise BadRequest(f"The field '{key}' {problem}.", param=key)
    return value


def flag_field(members: Members, key: str) -> bool:
    """Return a member that must be true, false, null or absent. Raises BadRequest that names it."""
    value = members.values.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise BadRequest(f"The field '{key}' must be true or false.", param=key)
