"""Azure OpenAI: a resource whose deployments stand in the path, or its newer form, which is OpenAI's own below `/openai/v1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from proxy import settings
from proxy.providers.base import Asked
from proxy.providers.openai import OpenAi

DEFAULT_VERSION: Final = "2024-10-21"

_VERSION: Final = b"api-version="
_V1: Final = b"/openai/v1"
_OUTSIDE: Final = frozenset({"responses"})  # not below a deployment: their body names it


class Azure(OpenAi):
    """Deployments below the configured resource, with the version of the API in the query; OpenAI's error words."""

    speaks = frozenset({"chat", "completions", "responses", "embeddings", "images", "audio"})

    def __init__(self, config: settings.Upstream, base: bytes) -> None:
        super().__init__(config, base)
        self._is_v1 = self._base.endswith(_V1)
        self._base = self._base.removesuffix(_V1).removesuffix(b"/openai")
        version = config.api_version or ("" if self._is_v1 else DEFAULT_VERSION)
        self._version = version.encode()

    def target(self, asked: Asked) -> bytes:
        query, version = (asked.query, asked.version) if asked.version else take_version(asked.query)
        if self._is_v1 and version[:1].isdigit():
            version = b""  # dated ones belong to the older form
        query = _with_version(query, version or self._version)
        below = b"" if self.reads_model(asked.api) else b"/deployments/" + quote(asked.model, safe="").encode()
        return b"%b/openai%b%b%b" % (self._base, b"/v1" if self._is_v1 else below, asked.path.removeprefix(b"/v1"), query)

    def reads_model(self, api: str) -> bool:
        return self._is_v1 or api in _OUTSIDE

    def credential(self, key: str) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"api-key", key.encode()),) if key else ()

    def request_id(self, headers: Mapping[bytes, bytes]) -> str:
        own = headers.get(b"apim-request-id")
        return own[:128].decode("latin-1") if own else super().request_id(headers)


def take_version(query: bytes) -> tuple[bytes, bytes]:
    """Return *query* without its `api-version`, and that version; nobody else than Azure has such a parameter."""
    if _VERSION not in query:
        return query, b""
    parts = query.removeprefix(b"?").split(b"&")
    versions = [part.removeprefix(_VERSION) for part in parts if part.startswith(_VERSION)]
    rest = b"&".join([part for part in parts if not part.startswith(_VERSION)])
    return (b"?" + rest if rest else b""), (versions[-1] if versions else b"")


def _with_version(query: bytes, version: bytes) -> bytes:
    if not version:
        return query
    return b"%b%b%b%b" % (query or b"?", b"&" if len(query) > 1 else b"", _VERSION, version)
