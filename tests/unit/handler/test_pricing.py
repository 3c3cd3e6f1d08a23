from __future__ import annotations

import pytest

from proxy.exchange import Usage
from proxy.handler.pricing import cost_usd
from proxy.settings import Price

MINI = Price(input=0.15, output=0.60)
CACHING = Price(input=3.0, output=15.0, cached_input=0.3, cache_write=3.75)


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        pytest.param(Usage(1_000_000, 0), MINI, 0.15, id="a million in"),
        pytest.param(Usage(0, 1_000_000), MINI, 0.60, id="a million out"),
        pytest.param(Usage(1000, 500), MINI, 0.00045, id="in and out"),
        pytest.param(Usage(1000, 500, reasoning=400), MINI, 0.00045, id="reasoning is part of the output"),
        pytest.param(Usage(1000, 0, cached=600), CACHING, 0.00138, id="read from the cache"),
        pytest.param(Usage(1000, 0, cache_write=600), CACHING, 0.00345, id="written to the cache"),
        pytest.param(Usage(1000, 100, cached=300, cache_write=200), CACHING, 0.00384, id="both, and some output"),
        pytest.param(
            Usage(1000, 0, cached=600, cache_write=100), MINI, 0.00015, id="without cache prices a split changes nothing"
        ),
        pytest.param(Usage(100, 0, cached=600), CACHING, 0.00018, id="more from the cache than there was"),
        pytest.param(Usage(1000, None), Price(input=0.02), 0.00002, id="an embedding"),
        pytest.param(Usage(1000, None), Price(input=0.02, output=0), 0.00002, id="an embedding, output for nothing"),
        pytest.param(Usage(1000, 0), Price(input=0.02), 0.00002, id="no output, no price for it"),
        pytest.param(Usage(1000, 500), Price(input=0, output=0), 0.0, id="for nothing"),
        pytest.param(Usage(1000, 500, cost_usd=0.25), MINI, 0.25, id="the upstream's own word"),
        pytest.param(Usage(cost_usd=0.25), None, 0.25, id="the upstream's own word, no price"),
        pytest.param(Usage(1000, 500, cost_usd=0.0), MINI, 0.0, id="the upstream says: nothing"),
    ],
)
def test_an_answer_costs_what_its_tokens_cost(usage: Usage, price: Price | None, cost: float) -> None:
    assert cost_usd(usage, price) == pytest.approx(cost, abs=1e-12)


@pytest.mark.parametrize(
    ("usage", "price"),
    [
        pytest.param(None, MINI, id="no usage"),
        pytest.param(Usage(1000, 500), None, id="no price"),
        pytest.param(Usage(1000, 500), Price(), id="an empty price"),
        pytest.param(Usage(1000, 500), Price(output=0.6), id="no price of the input"),
        pytest.param(Usage(1000, 500), Price(input=0.15), id="no price of the output"),
        pytest.param(Usage(None, 500), MINI, id="no word on the input"),
        pytest.param(Usage(1000, None), MINI, id="no word on the output"),
        pytest.param(Usage(), MINI, id="no word at all"),
    ],
)
def test_missing_is_not_zero(usage: Usage | None, price: Price | None) -> None:
    assert cost_usd(usage, price) is None
