"""Finds the `model` field of a multipart/form-data body (audio, image edits) and nothing else in it (RFC 7578).

For editors: routing and authorisation must see the model that the upstream will see, and readers of forms differ about
everything that is unusual: preambles, bare line feeds, folded header lines, unfinished forms. What official clients never
write is refused, so that no reader can find a `model` in it that was not found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from proxy.errors import BadRequest

HEAD_LIMIT: Final = 8192
NAME_LIMIT: Final = 256

_BOUNDARY: Final = re.compile(r'multipart/form-data((?:\s*;\s*[\w-]+=(?:"[^"\\]*"|[^\s;"]+))+)\s*;?\s*', re.IGNORECASE | re.ASCII)
_PARAMETER: Final = re.compile(r';\s*([\w-]+)=(?:"([^"\\]*)"|([^\s;"]+))', re.ASCII)
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_DISPOSITION: Final = re.compile(
    rb'form-data((?:[ \t]*;[ \t]*[\w-]+\*?=(?:"(?:[^"\\]|\\.)*"|[^\s;"]+))*)[ \t]*;?[ \t]*', re.IGNORECASE
)
_FIELD: Final = re.compile(rb';[ \t]*([\w-]+\*?)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
_PLAIN_CODINGS: Final = (b"", b"7bit", b"8bit", b"binary")
_PLAIN_TYPE: Final = re.compile(rb'[^;]*(?:;[ \t]*charset="?(?:utf-?8|(?:us-)?ascii|iso-8859-1)"?[ \t]*)?', re.IGNORECASE)


class Part(NamedTuple):
    """One field of a form, and where its content stands."""

    name: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FormField:
    """Where the value of `model` stands in a form."""

    body: bytes
    start: int
    end: int

    @property
    def model(self) -> str:
        return self.body[self.start : self.end].decode("latin-1")

    def with_model(self, model: str) -> bytes:
        return b"%b%b%b" % (self.body[: self.start], model.encode(), self.body[self.end :])


@dataclass(frozen=True, slots=True)
class NewField:
    """A form that does not name its model; a field for it comes first. *delimiter* is the form's boundary with its dashes."""

    body: bytes
    delimiter: bytes

    @property
    def model(self) -> None:
        return None

    def with_model(self, model: str) -> bytes:
        head = b'Content-Disposition: form-data; name="model"'
        return b"%b\r\n%b\r\n\r\n%b\r\n%b" % (self.delimiter, head, model.encode(), self.body)


def read_form(body: bytes, content_type: str) -> tuple[str, bool, FormField]:
    """Return the model, whether a stream is asked for, and where the model stands.

    Raises BadRequest when the form cannot be read beyond doubt, and when it has no model, or more than one.
    """
    stream, place = read_form_for(body, content_type)
    if isinstance(place, NewField):
        raise _not_once()
    try:
        model = body[place.start : place.end].decode("ascii")
    except UnicodeDecodeError as exc:
        raise BadRequest("The form's field 'model' must be plain ASCII.", param="model") from exc
    if not model or len(model) > NAME_LIMIT:
        raise BadRequest(f"The form's field 'model' must be a name of at most {NAME_LIMIT} characters.", param="model")
    return model, stream, place


def read_form_for(body: bytes, content_type: str) -> tuple[bool, FormField | NewField]:
    """Return whether a stream is asked for, and where the form names its model or may come to, where the path has named it.

    Raises BadRequest when the form cannot be read beyond doubt, and when it names more than one.
    """
    delimiter = b"--" + _boundary(content_type)
    parts = list(_parts(body, delimiter))
    models = [part for part in parts if part.name == b"model"]
    if len(models) > 1:
        raise _not_once()
    stream = any(part.name == b"stream" and body[part.start : part.end].strip().lower() == b"true" for part in parts)
    return stream, FormField(body, models[0].start, models[0].end) if models else NewField(body, delimiter)


def _not_once() -> BadRequest:
    return BadRequest("The form must hold the field 'model' exactly once.", param="model")


def _boundary(content_type: str) -> bytes:
    head = _BOUNDARY.fullmatch(content_type)
    found = [quoted or bare for name, quoted, bare in _PARAMETER.findall(head[1]) if name.lower() == "boundary"] if head else []
    if len(found) != 1 or not 0 < len(found[0]) <= 70 or not found[0].isascii():
        raise BadRequest("The multipart body has no usable boundary in its Content-Type.")
    return str(found[0]).encode()


def _parts(body: bytes, delimiter: bytes) -> Iterator[Part]:
    """Yield the parts between delimiters, each of which must stand where no reader can miss or mistake it."""
    at = 0
    if not body.startswith(delimiter):
        raise _unclear("does not begin with its boundary")
    while True:
        start = at + len(delimiter)
        if body.startswith(b"--", start):
            if body[start + 2 :].strip():
                raise _unclear("goes on behind its end")
            return
        if not body.startswith(b"\r\n", start):
            raise _unclear("has a boundary that is not a line of its own")
        at = body.find(delimiter, start)
        if at < 0:
            raise _unclear("has no end")
        if body[at - 2 : at] != b"\r\n":
            raise _unclear("has a boundary that is not a line of its own")
        yield _part(body, start + 2, at - 2)


def _part(body: bytes, start: int, end: int) -> Part:
    head = body.find(b"\r\n\r\n", start, min(end, start + HEAD_LIMIT) + 4)
    if head < 0 or head + 4 > end:
        raise _unclear("has a part without a head")
    headers = _headers(body[start:head])
    names = _names(headers.get(b"content-disposition", b""))
    if names[b"name"] == b"_charset_":  # RFC 7578 4.6
        raise _unclear("names a charset for its fields")
    if names[b"name"] in (b"model", b"stream") and (len(names) > 1 or not _is_plain(headers)):
        raise _unclear("holds 'model' or 'stream' as something other than a plain field")
    return Part(names[b"name"], head + 4, end)


def _is_plain(headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether the bytes of a field are what it says, to whoever reads it."""
    coding, media_type = headers.get(b"content-transfer-encoding", b""), headers.get(b"content-type", b"")
    return coding.lower() in _PLAIN_CODINGS and _PLAIN_TYPE.fullmatch(media_type) is not None


def _headers(head: bytes) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        found = _HEADER.fullmatch(line)
        if found is None or found[1].lower() in headers:
            raise _unclear("has a part with an unreadable head")
        headers[found[1].lower()] = found[2].strip()
    return headers


def _names(disposition: bytes) -> dict[bytes, bytes]:
    """Return the parameters of a Content-Disposition: `name`, without escapes, and perhaps `filename`."""
    head = _DISPOSITION.fullmatch(disposition)
    pairs = [(name.lower(), quoted or bare) for name, quoted, bare in _FIELD.findall(head[1])] if head else []
    names = dict(pairs)
    if len(names) != len(pairs) or b"\\" in names.get(b"name", b"\\") or b"name*" in names:
        raise _unclear("has a part without a clear name")
    return names


def _unclear(what: str) -> BadRequest:
    return BadRequest(f"The multipart body {what}.")
