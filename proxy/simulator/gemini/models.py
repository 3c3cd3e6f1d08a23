"""The list of models."""

from __future__ import annotations

from typing import Any

import orjson

from proxy.errors import MethodNotAllowed, ModelNotFound
from proxy.simulator.dialect import Answer, Call, Whole
from proxy.simulator.scenarios import MODELS


def read_models(_: Call) -> Answer:
    """Read `GET /v1beta/models`."""
    body = orjson.dumps({"models": [_model(name) for name in MODELS]})
    return Answer("", lambda _: Whole(body))


def read_model(call: Call) -> Answer:
    """Read `GET /v1beta/models/{model}`."""
    name = call.parameters["model"]
    if ":" in name:  # behind it stands what is to be done with the model
        raise MethodNotAllowed(("POST",))
    if name not in MODELS:
        raise ModelNotFound
    body = orjson.dumps(_model(name))
    return Answer("", lambda _: Whole(body))


def _model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "1",
        "displayName": name.replace("-", " ").capitalize(),
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }
