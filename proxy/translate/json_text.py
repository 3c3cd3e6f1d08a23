"""Strings as they stand inside of JSON: what a model wrote goes from one API into another without being read."""

from __future__ import annotations

import json
from typing import Any

import orjson

from proxy.dialects.openai import read_json
from proxy.errors import UpstreamMalformed


def escaped(text: str) -> bytes:
    """Return *text* as it stands between the quotes of a JSON string; half a surrogate pair too, which real models write."""
    try:
        return orjson.dumps(text)[1:-1]
    except TypeError:
        return json.dumps(text)[1:-1].encode()


def quoted(inside: bytes) -> orjson.Fragment:
    """Return what stands between the quotes of a JSON string as a string for orjson to write."""
    return orjson.Fragment(b'"%b"' % inside)


def unescaped(inside: bytes) -> str:
    """Return the text of what stands between the quotes of a JSON string; whatever is no UTF-8 in it is replaced."""
    try:
        text: str = orjson.loads(b'"%b"' % inside)
    except orjson.JSONDecodeError:
        text = json.loads(f'"{inside.decode("utf-8", "replace")}"')
    return text


def dumped(value: Any) -> bytes:
    """Return *value*, which was read from JSON, as JSON again; half a surrogate pair goes out as it came in.

    Raises UpstreamMalformed for what is nested too deeply to be written.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        try:
            return json.dumps(value, separators=(",", ":")).encode()
        except RecursionError as exc:
            raise UpstreamMalformed("a value is nested too deeply") from exc


def object_in(text: str) -> dict[str, Any] | None:
    """Return the JSON object that *text* is, such as the arguments of a call; no text at all is an empty one. None: it is none."""
    return read_json(text.encode("utf-8", "surrogatepass")) if text.strip() else {}
