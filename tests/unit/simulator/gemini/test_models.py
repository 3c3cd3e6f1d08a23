from __future__ import annotations

import orjson
import pytest

from proxy.errors import ModelNotFound
from proxy.simulator.gemini.models import read_model, read_models
from proxy.simulator.reply import Shape
from proxy.simulator.scenarios import SCENARIOS, choose
from tests.unit.simulator.asking import call


def test_list_has_a_model_for_every_scenario() -> None:
    listed = orjson.loads(read_models(call(None)).whole(Shape()).body)["models"]

    names = [model["name"].removeprefix("models/") for model in listed]
    assert {choose(None, name).name for name in names} == set(SCENARIOS)
    assert all(orjson.loads(read_model(call(None, model=name)).whole(Shape()).body) in listed for name in names)


def test_unknown_model_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        read_model(call(None, model="gemini-99"))
