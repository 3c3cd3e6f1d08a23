"""API keys are known by their digest only."""

from __future__ import annotations

import contextlib
import hashlib
import hmac

import pytest

from proxy.auth import Credential
from proxy.auth.keys import ApiKeys
from proxy.errors import Unauthenticated
from proxy.settings import ApiKey


def key(token: str, **members: object) -> ApiKey:
    return ApiKey.model_validate({"id": "ci", "sha256": hashlib.sha256(token.encode()).hexdigest(), **members})


async def test_a_configured_key_gives_its_principal() -> None:
    keys = ApiKeys([key("pk_live_other", id="other"), key("pk_live_1", models=["gpt-*"], max_streams=20)], 100)

    principal = await keys.verify(Credential("x-api-key", "pk_live_1"), 0.0)

    assert (principal.subject, principal.method, principal.models) == ("ci", "api_key", ("gpt-*",))
    assert (principal.max_streams, principal.expires_at) == (20, None)


async def test_a_key_without_limits_of_its_own_gets_the_defaults() -> None:
    keys = ApiKeys([key("pk_live_1")], 100)

    principal = await keys.verify(Credential("x-api-key", "pk_live_1"), 0.0)

    assert (principal.models, principal.max_streams) == (None, 100)


@pytest.mark.parametrize("token", ["pk_live_2", "pk_live_1 ", "PK_LIVE_1", hashlib.sha256(b"pk_live_1").hexdigest()])
async def test_any_other_token_is_an_unknown_key(token: str) -> None:
    keys = ApiKeys([key("pk_live_1")], 100)

    with pytest.raises(Unauthenticated) as caught:
        await keys.verify(Credential("x-api-key", token), 0.0)

    assert caught.value.reason == "unknown_api_key"


@pytest.mark.parametrize("token", ["pk_live_1", "pk_live_2"])
async def test_a_known_and_an_unknown_key_are_compared_alike(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison of digests runs once and over the same length for both, so that time says nothing."""
    compared: list[tuple[int, int]] = []
    genuine = hmac.compare_digest

    def counted(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return genuine(a, b)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    keys = ApiKeys([key("pk_live_1")], 100)

    with contextlib.suppress(Unauthenticated):
        await keys.verify(Credential("x-api-key", token), 0.0)

    assert compared == [(32, 32)]


def test_keys_print_without_their_digests() -> None:
    digest = hashlib.sha256(b"pk_live_1").hexdigest()

    printed = repr(ApiKeys([key("pk_live_1")], 100))

    assert digest not in printed
    assert "ApiKeys(1)" in printed
