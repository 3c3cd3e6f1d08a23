"""Reads the content of one OpenAI chat message: text, images, files and audio."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from proxy.translate.conversation import Audio, Document, Image, Part, Text
from proxy.translate.fields import Fields, cannot

_DATA: Final = re.compile(r"data:([a-z]+/[a-z0-9.+-]+)(?:;[a-z]+=[^;,]*)*;base64,", re.IGNORECASE)
_ALIASES: Final = {"image/jpg": "image/jpeg"}
_TTLS: Final = {"5m": "5m", "1h": "1h", "30m": "1h", "12h": "1h"}  # OpenAI's are longer than any that others have


def read_parts(message: Fields) -> list[Part]:
    """Return what a user said; empty texts, which other APIs refuse, are left out."""
    content = message.values.get("content")
    if isinstance(content, str):
        return [Text(content)] if content else []
    if content is None:
        raise message.wrong("content", "a string or an array of parts")
    parts = [_reader(part)(part) for part in message.tables("content")]
    return [part for part in parts if not isinstance(part, Text) or part.text]


def read_texts(message: Fields, key: str = "content") -> list[Text]:
    """Return a content that can be nothing but text, or absent; a model's refusal is its text too."""
    if isinstance(message.values.get(key), str):
        texts = [Text(message.text(key))]
    else:
        texts = [_text(part) for part in message.tables(key)]
    return [text for text in texts if text.text]


def _reader(part: Fields) -> Callable[[Fields], Part]:
    reader = _READERS.get(part.name("type"))
    if reader is None:
        raise part.wrong("type", f"one of {', '.join(_READERS)}")
    return reader


def _text(part: Fields) -> Text:
    kind = part.name("type")
    if kind not in ("text", "refusal"):
        raise part.wrong("type", "text")
    return Text(part.text(kind), _cache(part))


def _image(part: Fields) -> Image:
    image = part.inner("image_url")
    url, at = image.name("url"), image.where("url")
    if url[:5].lower() != "data:":
        return Image(at=at, url=url, cache=_cache(part))
    media_type, data = _data(image, "url")
    return Image(at=at, media_type=media_type, data=data, cache=_cache(part))


def _file(part: Fields) -> Document:
    file = part.inner("file")
    if file.values.get("file_id") is not None:
        raise cannot(file.where("file_id"))  # a file that only OpenAI holds
    media_type, data = _data(file, "file_data")
    title = file.maybe_text("filename") or ""
    return Document(at=file.where("file_data"), media_type=media_type, data=data, title=title, cache=_cache(part))


def _audio(part: Fields) -> Audio:
    audio = part.inner("input_audio")
    kind = audio.word("format", ("wav", "mp3"))
    if kind is None:
        raise audio.wrong("format", "wav or mp3")
    return Audio(at=audio.where("data"), format=kind, data=audio.name("data"))


def _data(holder: Fields, key: str) -> tuple[str, str]:
    """Return media type and base64 of a data URL."""
    url = holder.name(key)
    found = _DATA.match(url)
    if found is None or found.end() == len(url):
        raise holder.wrong(key, "a data URL in base64, as data:image/png;base64,…")
    media_type = found[1].lower()
    return _ALIASES.get(media_type, media_type), url[found.end() :]


def _cache(part: Fields) -> str | None:
    """Return the cache breakpoint of a part, in OpenAI's word for it or in the one that gateways have for Claude."""
    marker = part.table("prompt_cache_breakpoint") or part.table("cache_control")
    return None if marker is None else _TTLS[marker.word("ttl", _TTLS) or "5m"]


_READERS: Final[Mapping[str, Callable[[Fields], Part]]] = {
    "text": _text,
    "image_url": _image,
    "file": _file,
    "input_audio": _audio,
}
