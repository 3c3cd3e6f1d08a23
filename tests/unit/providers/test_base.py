from __future__ import annotations

import pytest

from proxy import settings
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
        ({b"x-amzn-requestid": b"5"}, "5"),
        ({b"apim-request-id": b"4", b"x-request-id": b"req_1"}, "req_1"),
        ({b"x-request-id": b"", b"request-id": b"req_2"}, "req_2"),
        ({b"x-request-id": b"x" * 1000}, "x" * 128),
        ({b"x-request-id": b"\xe9\xff"}, "\xe9\xff"),
    ],
)
def test_an_upstream_s_own_id_is_found_under_any_of_its_names(headers: dict[bytes, bytes], found: str) -> None:
    assert PROVIDERS["openai"](settings.Upstream(kind="openai"), b"").request_id(headers) == found


def test_each_kind_of_backend_has_its_provider() -> None:
    assert set(PROVIDERS) == {"openai", "azure", "anthropic", "bedrock", "gemini", "simulator"}
    assert all(issubclass(provider, Provider) and provider.speaks for provider in PROVIDERS.values())
