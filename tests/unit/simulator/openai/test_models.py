from __future__ import annotations

import orjson
import pytest

from proxy.errors import ModelNotFound
from proxy.simulator.openai.models import read_model, read_models
from proxy.simulator.reply import Shape
from proxy.simulator.scenarios import SCENARIOS, choose
from tests.unit.simulator.openai.support import BORN, call


def test_list_has_a_model_for_every_scenario() -> None:
    listed = orjson.loads(read_models(call()).whole(Shape()).body)

    assert listed["object"] == "list"
    assert {choose(None, model["id"]).name for model in listed["data"]} == set(SCENARIOS)
    assert {"demo", "demo-think"} <= {model["id"] for model in listed["data"]}


def test_one_model_is_described() -> None:
    model = orjson.loads(read_model(call(id="demo-stall")).whole(Shape()).body)

    assert model == {"id": "demo-stall", "object": "model", "created": BORN, "owned_by": "simulator"}


def test_unknown_model_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        read_model(call(id="gpt-99"))
