"""Reads the content of one item of an OpenAI responses request: text, images, files and audio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from proxy.translate.conversation import Audio, Document, Image, Part, Text
from proxy.translate.fields import Fields, cannot, refuse

_BASE64: Final = ";base64"


def read_parts(holder: Fields, key: str, *, drop: bool) -> list[Part]:
    """Return a content, which may be a string; empty texts are left out. Raises BadRequest, or Untranslatable."""
    content = holder.values.get(key)
    if isinstance(content, str):
        return [Text(content)] if content else []
    if content is None:
        raise holder.wrong(key, "a string or an array of parts")
    parts: list[Part] = []
    for part in holder.tables(key):
        read = _READERS.get(part.name("type"))
        if read is None:
            refuse(part.where("type"), drop=drop)
        else:
            parts.append(read(part))
    return [part for part in parts if not isinstance(part, Text) or part.text]


def _text(part: Fields) -> Text:
    return Text(part.text("text"))


def _refusal(part: Fields) -> Text:
    return Text(part.text("refusal"))


def _image(part: Fields) -> Image:
    _not_stored(part)
    return Image(at=part.where("image_url"), url=part.name("image_url"), detail=part.maybe_text("detail") or "")


def _file(part: Fields) -> Document:
    _not_stored(part)
    if part.values.get("file_url") is not None:
        raise cannot(part.where("file_url"))  # nobody but OpenAI fetches it
    head, _, data = part.name("file_data").partition(",")
    if not head.startswith("data:") or not head.endswith(_BASE64) or not data:
        raise part.wrong("file_data", "a data URL in base64, as data:application/pdf;base64,…")
    media_type = head.removeprefix("data:").partition(";")[0].lower()
    return Document(at=part.where("file_data"), media_type=media_type, data=data, title=part.maybe_text("filename") or "")


def _audio(part: Fields) -> Audio:
    audio = part.inner("input_audio")
    return Audio(at=audio.where("data"), format=audio.name("format"), data=audio.name("data"))


def _not_stored(part: Fields) -> None:
    if part.values.get("file_id") is not None:
        raise cannot(part.where("file_id"))  # only OpenAI holds it


_READERS: Final[Mapping[str, Callable[[Fields], Part]]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}
