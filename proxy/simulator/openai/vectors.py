"""Embeddings and moderations: answers that are computed from the input and never streamed."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Any, Final

import orjson

from proxy.errors import BadRequest
from proxy.simulator import fields, text
from proxy.simulator.dialect import Answer, Call, Whole
from proxy.simulator.fields import Fields

_DIMENSIONS: Final = 1536
_MAX_DIMENSIONS: Final = 3072
_MAX_INPUTS: Final = 2048
_TEXT_CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "sexual/minors",
)
_IMAGE_CATEGORIES: Final = ("self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "violence", "violence/graphic")


def read_embeddings(call: Call) -> Answer:
    """Read `POST /v1/embeddings`."""
    body = fields.read_object(call.body)
    model = fields.required_text(body, "model")
    inputs = _inputs(body)
    dimensions = fields.count(body, "dimensions", most=_MAX_DIMENSIONS) or _DIMENSIONS
    packed = _packed(body)
    vectors = [_unit_vector(one, dimensions) for one in inputs]
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if packed else vector}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(map(text.estimate, inputs))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})
    return Answer(model, lambda _: Whole(answer))


def read_moderations(call: Call) -> Answer:
    """Read `POST /v1/moderations`; nothing is ever flagged."""
    body = fields.read_object(call.body)
    model = body.get("model") or "omni-moderation-latest"
    if not isinstance(model, str):
        raise BadRequest("`model` must be a string.", param="model")
    name = hashlib.sha256(call.body).hexdigest()[:24]
    answer = orjson.dumps({"id": f"modr-{name}", "model": model, "results": [_unflagged() for _ in _inputs(body)]})
    return Answer(model, lambda _: Whole(answer))


def _inputs(body: Fields) -> list[str]:
    """Return the inputs: one string, strings, content parts, or tokens given as numbers."""
    given = body.get("input")
    if isinstance(given, str) and given:
        return [given]
    if not isinstance(given, list) or not given:
        raise BadRequest("`input` is required and must not be empty.", param="input")
    if len(given) > _MAX_INPUTS and not isinstance(given[0], int):
        raise BadRequest(f"`input` may hold {_MAX_INPUTS} texts at most.", param="input")
    if isinstance(given[0], int):
        return [orjson.dumps(given).decode()]
    if isinstance(given[0], dict):
        return [fields.content_text(given)]
    return [one if isinstance(one, str) else orjson.dumps(one).decode() for one in given]


def _packed(body: Fields) -> bool:
    form = body.get("encoding_format")
    if form not in (None, "float", "base64"):
        raise BadRequest("`encoding_format` must be float or base64.", param="encoding_format")
    return bool(form == "base64")


def _unit_vector(said: str, dimensions: int) -> list[float]:
    """Return a vector of length one that depends on nothing but the text."""
    digest = hashlib.shake_256(said.encode()).digest(2 * dimensions)
    raw = struct.unpack(f"<{dimensions}h", digest)
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return [value / length for value in raw]


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _unflagged() -> dict[str, Any]:
    names = (*_TEXT_CATEGORIES, *_IMAGE_CATEGORIES)
    return {
        "flagged": False,
        "categories": dict.fromkeys(names, False),
        "category_scores": dict.fromkeys(names, 0.0001),
        "category_applied_input_types": {name: ["text"] for name in names},
    }
