"""Finds the `model` field of a multipart/form-data body (audio, image edits) and nothing else in it (RFC 7578)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.errors import BadRequest

_BOUNDARY: Final = re.compile(r'multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME: Final = re.compile(rb'^content-disposition\s*:\s*form-data\s*;(?:.*;)?\s*name="?(model|stream)"?\s*(?:;|$)', re.IGNORECASE | re.MULTILINE)
_HEAD_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True)
class FormField:
    """Where the value of `model` stands in a form."""

    body: bytes
    start: int
    end: int

    def with_model(self, model: str) -> bytes:
        return b"%b%b%b" % (self.body[: self.start], model.encode(), self.body[self.end :])


def read_form(body: bytes, content_type: str) -> tuple[str, bool, FormField]:
    """Return the model, whether a stream is asked for, and where the model stands.

    Raises BadRequest when the form has no boundary, no model, or more than one.
    """
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise BadRequest("The multipart body has no usable boundary in its Content-Type.")
    fields = _fields(body, b"--" + (found[1] or found[2]).encode())
    if len(fields.get("model", ())) != 1:
        raise BadRequest("The form must hold the field 'model' exactly once.", param="model")
    start, end = fields["model"][0]
    try:
        model = body[start:end].decode("ascii").strip()
    except UnicodeDecodeError as exc:
        raise BadRequest("The form's field 'model' must be plain ASCII.", param="model") from exc
    if not model or len(model) > 256:
        raise BadRequest("The form's field 'model' must be a name of at most 256 characters.", param="model")
    stream = any(body[a:b].strip().lower() == b"true" for a, b in fields.get("stream", ()))
    return model, stream, FormField(body, start, end)


def _fields(body: bytes, delimiter: bytes) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    at = body.find(delimiter)
    while at >= 0:
        start = at + len(delimiter)
        at = body.find(b"\r\n" + delimiter, start)
        head = body.find(b"\r\n\r\n", start, start + _HEAD_LIMIT)
        name = _NAME.search(body[start:head].replace(b"\r\n", b"\n")) if head >= 0 else None
        if name and at >= 0:
            found.setdefault(name[1].decode().lower(), []).append((head + 4, at))
        at = at + 2 if at >= 0 else -1
    return found
