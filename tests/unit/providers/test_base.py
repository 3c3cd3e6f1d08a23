from __future__ import annotations

import pytest

from proxy.providers import PROVIDERS
from proxy.providers.base import Provider


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, ""),
        ({b"x-request-id": b"req_1"}, "req_1"),
        ({b"request-id": b"req_2"}, "req_2"),
        ({b"x-generation-id": b"gen-3"}, "gen-3"),
        ({b"apim-request-id": b"4"}, "4"),
        ({b"apim-request-id": b"4", b"x-request-id": b"req_1"}, "req_1"),
        ({b"x-request-id": b"", b"request-id": b"req_2"}, "req_2"),
        ({b"x-request-id": b"x" * 1000}, "x" * 128),
        ({b"x-request-id": b"\xe9\xff"}, "\xe9\xff"),
    ],
)
def test_an_upstream_s_own_id_is_found_under_any_of_its_names(headers: dict[bytes, bytes], found: str) -> None:
    assert PROVIDERS["openai"].request_id(headers) == found


def test_each_kind_of_backend_has_its_provider() -> None:
    assert set(PROVIDERS) == {"openai", "simulator"}
    assert all(isinstance(provider, Provider) and "openai" in provider.families for provider in PROVIDERS.values())
