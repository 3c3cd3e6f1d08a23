from __future__ import annotations

from proxy.providers import PROVIDERS
from proxy.translate.pairs import TRANSLATORS, Translators

APIS = frozenset[str]().union(*(provider.speaks for provider in PROVIDERS.values()))


def test_an_api_that_nobody_translates_has_no_translator() -> None:
    assert Translators().find("embeddings", ["messages", "converse"]) is None
    assert Translators().find("chat", ["embeddings"]) is None


def test_each_pair_stands_once_and_leads_to_an_api_that_some_backend_speaks() -> None:
    pairs = [(each.source, each.target) for each in TRANSLATORS]

    assert len(pairs) == len(set(pairs))
    assert {target for _, target in pairs} <= APIS


def test_of_several_ways_the_first_in_the_table_is_taken() -> None:
    for each in TRANSLATORS:
        earlier = [other for other in TRANSLATORS[: TRANSLATORS.index(each)] if other.source == each.source]

        assert Translators().find(each.source, [each.target]) is each
        assert Translators().find(each.source, [each.target, *(other.target for other in earlier)]) is (earlier or [each])[0]
