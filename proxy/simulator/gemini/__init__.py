"""The Gemini dialect of the simulated backend: content generated whole or in a stream, tokens counted, models listed."""

from __future__ import annotations

from typing import Final

from proxy.simulator.dialect import Route
from proxy.simulator.gemini.common import DIALECT
from proxy.simulator.gemini.content import read_count, read_generate, read_stream
from proxy.simulator.gemini.models import read_model, read_models

_VERSIONS: Final = ("/v1beta", "/v1")
_METHODS: Final = {"generateContent": read_generate, "streamGenerateContent": read_stream, "countTokens": read_count}

ROUTES: Final = (
    *(
        Route("POST", f"{version}/models/{{model}}:{method}", DIALECT, read)
        for version in _VERSIONS
        for method, read in _METHODS.items()
    ),
    Route("GET", "/v1beta/models", DIALECT, read_models),  # at /v1/models is OpenAI's
    Route("GET", "/v1beta/models/{model}", DIALECT, read_model),
)

__all__ = ["DIALECT", "ROUTES"]
