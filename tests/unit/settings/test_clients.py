from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.settings.clients import ApiKey, Auth, JwtIssuer

SECRET = "x" * 32
KEYS = "https://login.example.com/jwks.json"


def issuer(**changes: Any) -> JwtIssuer:
    return JwtIssuer.model_validate({"issuer": "i", "audience": "a", "algorithms": ["HS256"], "secret": SECRET} | changes)


def refusal(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        issuer(**changes)
    return str(caught.value.errors()[0]["msg"])


def test_an_hs_issuer_signs_with_its_secret() -> None:
    assert issuer().symmetric
    assert issuer().leeway == 30.0


@pytest.mark.parametrize("algorithms", [["RS256"], ["RS256", "PS512"], ["ES256", "ES384"], ["EdDSA"]])
def test_any_other_issuer_publishes_its_keys(algorithms: list[str]) -> None:
    assert not issuer(algorithms=algorithms, secret=None, jwks_url=KEYS).symmetric


@pytest.mark.parametrize("algorithms", [["HS256", "RS256"], ["RS256", "ES256"], ["ES256", "EdDSA"]])
def test_algorithms_of_two_families_are_refused(algorithms: list[str]) -> None:
    """A public key taken for a shared secret would let anybody sign."""
    assert "one family" in refusal(algorithms=algorithms)


@pytest.mark.parametrize("changes", [{"secret": None}, {"secret": ""}, {"jwks_url": KEYS}])
def test_an_issuer_has_exactly_one_source_of_keys(changes: dict[str, Any]) -> None:
    assert "exactly one of secret" in refusal(**changes)


@pytest.mark.parametrize("changes", [{"algorithms": ["RS256"]}, {"secret": None, "jwks_url": KEYS}])
def test_the_source_of_keys_fits_the_family(changes: dict[str, Any]) -> None:
    assert "HS algorithms need secret" in refusal(**changes)


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_at_least_as_long_as_the_hash(algorithm: str, least: int) -> None:
    """RFC 7518 section 3.2."""
    assert issuer(algorithms=[algorithm], secret="x" * least)
    assert f"at least {least} bytes" in refusal(algorithms=[algorithm], secret="x" * (least - 1))


def test_the_length_of_a_secret_counts_in_bytes() -> None:
    assert issuer(secret="ü" * 16)


@pytest.mark.parametrize("algorithms", [["none"], [], ["HS257"]])
def test_an_unknown_or_missing_algorithm_is_refused(algorithms: list[str]) -> None:
    assert refusal(algorithms=algorithms)


def test_a_key_without_a_list_may_use_every_model() -> None:
    key = ApiKey.model_validate({"id": "ci", "sha256": "0" * 64})

    assert key.models is None
    assert key.max_streams is None


def test_a_credential_is_configured_by_a_key_or_an_issuer() -> None:
    key = {"id": "ci", "sha256": "0" * 64}

    assert not Auth().configured
    assert Auth.model_validate({"api_keys": [key]}).configured
    assert Auth(jwt=(issuer(),)).configured
