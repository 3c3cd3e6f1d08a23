"""Reads the secrets that a configuration names by file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from proxy.settings.consistency import Loc
from proxy.settings.document import Document

NAMES: Final = ("api_key", "secret", "proxy", "store")
MAX_BYTES: Final = 64 << 10


def read_secret_files(document: Document) -> None:
    """Put the content of each `<name>_file` where `<name>` would be; trailing line breaks do not count."""
    for path, section in list(document.mappings()):
        for name in NAMES:
            if section.get(f"{name}_file") and path[-1:] != ("headers",):
                _read(document, path, section, name)


def _read(document: Document, parents: Loc, section: dict[str, Any], name: str) -> None:
    source = (*parents, f"{name}_file")
    if not isinstance(section[f"{name}_file"], str):
        return
    if section.get(name):
        document.breaks(source, f"{name} is set too: remove one of them")
        return
    try:
        section[name] = _content(section[f"{name}_file"])
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        document.breaks(source, f"the file with the secret cannot be used: {reason}")
        return
    document.places[*parents, name] = document.where(source)


def _content(file: str) -> str:
    with Path(file).open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError("it is too large for a secret")
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if not text:
        raise ValueError("it is empty")
    return text
