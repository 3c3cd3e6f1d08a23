"""Whatever JSON comes in, every endpoint either answers or refuses in the agreed way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from proxy.simulator.anthropic import ROUTES
from tests.unit.simulator.anthropic.support import BODIES
from tests.unit.simulator.generated import holds_its_ground, json, nearly


@settings(max_examples=100, deadline=None)
@given(nearly(BODIES) | json())
def test_every_body_is_answered_or_refused(body: Any) -> None:
    holds_its_ground(ROUTES, body)


@pytest.mark.parametrize("body", BODIES)
def test_bodies_that_are_right_are_answered_everywhere(body: Any) -> None:
    assert holds_its_ground(ROUTES, body) == len(ROUTES)
