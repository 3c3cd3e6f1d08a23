from __future__ import annotations

import base64
import math
import struct
from typing import Any

import pytest

from proxy.errors import BadRequest
from proxy.simulator.openai.vectors import read_embeddings, read_moderations
from tests.unit.simulator.openai.support import call, whole

BODY = {"model": "demo-embedding", "input": "tea"}


def test_embedding_is_a_unit_vector_that_depends_on_the_text_alone() -> None:
    answer = whole(read_embeddings, {**BODY, "input": ["tea", "milk", "tea"]})

    tea, milk, again = (one["embedding"] for one in answer["data"])
    assert (answer["object"], answer["model"]) == ("list", "demo-embedding")
    assert [(one["object"], one["index"]) for one in answer["data"]] == [("embedding", 0), ("embedding", 1), ("embedding", 2)]
    assert len(tea) == 1536
    assert math.isclose(math.hypot(*tea), 1.0)
    assert tea == again != milk
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_packed_embedding_holds_the_same_numbers() -> None:
    plain = whole(read_embeddings, {**BODY, "dimensions": 8})["data"][0]["embedding"]
    packed = whole(read_embeddings, {**BODY, "dimensions": 8, "encoding_format": "base64"})["data"][0]["embedding"]

    assert struct.unpack("<8f", base64.b64decode(packed)) == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize(("given", "count"), [([1, 2, 3], 1), ([[1, 2], [3]], 2), ([1] * 4096, 1)])
def test_tokens_given_as_numbers_are_embedded(given: Any, count: int) -> None:
    assert len(whole(read_embeddings, {**BODY, "input": given, "dimensions": 2})["data"]) == count


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["x"] * 2049}, "input"),
        ({"model": None}, "model"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 4000}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"encoding_format": []}, "encoding_format"),
    ],
)
def test_wrong_field_is_refused_by_name(change: Any, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_embeddings(call({**BODY, **change}))

    assert refused.value.param == param


@pytest.mark.parametrize(("given", "count"), [("tea", 1), (["tea", "milk"], 2), ([{"type": "text", "text": "tea"}], 1)])
def test_moderation_flags_nothing(given: Any, count: int) -> None:
    answer = whole(read_moderations, {"input": given})

    assert (answer["model"], len(answer["results"])) == ("omni-moderation-latest", count)
    assert answer["id"].startswith("modr-")
    assert not any(result["flagged"] or any(result["categories"].values()) for result in answer["results"])


def test_moderation_with_a_strange_model_is_refused() -> None:
    with pytest.raises(BadRequest) as refused:
        read_moderations(call({"input": "tea", "model": 5}))

    assert refused.value.param == "model"
