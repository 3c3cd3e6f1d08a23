"""The Gemini dialect of the simulated backend: content generated whole or in a stream, and the counting of tokens."""

from __future__ import annotations

from typing import Final

from proxy.simulator.dialect import Route
from proxy.simulator.gemini.common import DIALECT
from proxy.simulator.gemini.content import read_count, read_generate, read_stream

_VERSIONS: Final = ("/v1beta", "/v1")
_METHODS: Final = {"generateContent": read_generate, "streamGenerateContent": read_stream, "countTokens": read_count}

ROUTES: Final = tuple(
    Route("POST", f"{version}/models/{{model}}:{method}", DIALECT, read)
    for version in _VERSIONS
    for method, read in _METHODS.items()
)

__all__ = ["DIALECT", "ROUTES"]
