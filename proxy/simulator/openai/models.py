"""The list of models."""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.errors import ModelNotFound
from proxy.simulator.dialect import Answer, Call, Whole
from proxy.simulator.scenarios import MODELS

_ALL: Final = (*MODELS, "demo-embedding")


def read_models(call: Call) -> Answer:
    """Read `GET /v1/models`."""
    body = orjson.dumps({"object": "list", "data": [_model(name, call.born) for name in _ALL]})
    return Answer("", lambda _: Whole(body))


def read_model(call: Call) -> Answer:
    """Read `GET /v1/models/{id}`."""
    name = call.parameters["id"]
    if name not in _ALL:
        raise ModelNotFound
    body = orjson.dumps(_model(name, call.born))
    return Answer("", lambda _: Whole(body))


def _model(name: str, born: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": born, "owned_by": "simulator"}
