"""The list of models: one for each scenario, so that a client's model picker is a scenario picker."""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.errors import ModelNotFound
from proxy.simulator.dialect import Answer, Call, Whole
from proxy.simulator.scenarios import SCENARIOS

MODELS: Final = (
    "demo",
    "demo-think",
    "demo-embedding",
    *(f"demo-{name.replace('_', '-')}" for name in SCENARIOS if name != "ok"),
)


def read_models(call: Call) -> Answer:
    """Read `GET /v1/models`."""
    body = orjson.dumps({"object": "list", "data": [_model(name, call.born) for name in MODELS]})
    return Answer("", lambda _: Whole(body))


def read_model(call: Call) -> Answer:
    """Read `GET /v1/models/{id}`."""
    name = call.parameters["id"]
    if name not in MODELS:
        raise ModelNotFound
    body = orjson.dumps(_model(name, call.born))
    return Answer("", lambda _: Whole(body))


def _model(name: str, born: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": born, "owned_by": "simulator"}
