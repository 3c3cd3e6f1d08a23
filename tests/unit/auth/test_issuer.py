"""An issuer's token is good only if every claim is."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest

from proxy.auth.issuer import MAX_SUBJECT, Issuer, SharedSecret
from proxy.auth.principal import Principal
from proxy.errors import Unauthenticated
from proxy.settings import JwtIssuer
from tests.unit.auth.issuing import AUDIENCE, ISSUER, NOW, claims, mint

SECRET = "canary-hs-secret-" + "s" * 32


def issuer(secret: str = SECRET, algorithms: tuple[str, ...] = ("HS256",), **members: object) -> Issuer:
    settings = JwtIssuer.model_validate(
        {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": algorithms, "secret": secret, "leeway": "30s", **members}
    )
    return Issuer(settings, SharedSecret(secret, algorithms), 100)


async def verify(token: str, **members: object) -> Principal:
    return await issuer(**members).verify(token, None, "HS256", NOW)  # type: ignore[arg-type]


async def refusal(token: str, **members: object) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await verify(token, **members)
    assert token not in str(caught.value)
    return caught.value.reason


async def test_a_good_token_gives_its_subject_until_it_expires() -> None:
    principal = await verify(mint(SECRET, "HS256"))

    assert principal == Principal(
        subject="user-1", method="jwt", models=None, max_streams=100, expires_at=NOW + 3600, issuer=ISSUER
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": NOW - 29},
        {"exp": NOW + 0.5},
        {"nbf": int(NOW) + 30},
        {"iat": int(NOW) + 30},
        {"iat": None, "exp": int(NOW) + 10 * 86400},
        {"iat": int(NOW), "exp": int(NOW) + 86400},
        {"aud": [AUDIENCE, "other"]},
        {"sub": "é" * MAX_SUBJECT},
        {"jti": "1"},
    ],
)
async def test_a_token_at_the_edge_of_its_rules_is_good(changed: dict[str, Any]) -> None:
    principal = await verify(mint(SECRET, "HS256", **changed))

    assert principal.method == "jwt"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": int(NOW) - 30}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": None}, "missing_claim"),
        ({"exp": str(int(NOW) + 60)}, "bad_claim"),
        ({"exp": True}, "bad_claim"),
        ({"exp": -1}, "bad_claim"),
        ({"exp": float("nan")}, "bad_claim"),
        ({"exp": float("inf")}, "bad_claim"),
        ({"exp": 10**400}, "bad_claim"),
        ({"exp": [NOW]}, "bad_claim"),
        ({"nbf": int(NOW) + 31}, "not_yet_valid"),
        ({"nbf": "soon"}, "bad_claim"),
        ({"iat": int(NOW) + 31}, "not_yet_valid"),
        ({"iat": "now"}, "bad_claim"),
        ({"iat": int(NOW) - 1, "exp": int(NOW) + 86400}, "lifetime_too_long"),
        ({"aud": None}, "missing_claim"),
        ({"aud": ""}, "missing_claim"),
        ({"aud": "llm-proxy-2"}, "wrong_audience"),
        ({"aud": ["other"]}, "wrong_audience"),
        ({"aud": {"llm-proxy": 1}}, "wrong_audience"),
        ({"iss": ISSUER + "x"}, "unknown_issuer"),
        ({"iss": ISSUER[:-1]}, "unknown_issuer"),
        ({"iss": None}, "missing_claim"),
        ({"sub": None}, "missing_claim"),
        ({"sub": 7}, "bad_claim"),
        ({"sub": ""}, "bad_claim"),
        ({"sub": "u" * (MAX_SUBJECT + 1)}, "bad_claim"),
        ({"sub": "a\nb"}, "bad_claim"),
        ({"sub": "a\ud800"}, "bad_claim"),
        ({"jti": 7}, "bad_claim"),
    ],
)
async def test_a_token_with_a_bad_claim_is_refused_for_its_reason(changed: dict[str, Any], reason: str) -> None:
    refused = await refusal(mint(SECRET, "HS256", **changed))

    assert refused == reason


@pytest.mark.parametrize(
    ("listed", "models"), [(["gpt-*"], ("gpt-*",)), ([], ()), (None, ())], ids=["some", "none", "claim missing"]
)
async def test_the_models_claim_limits_the_principal(listed: object, models: tuple[str, ...]) -> None:
    """Deny by default: where a claim is configured, silence allows nothing."""
    principal = await verify(mint(SECRET, "HS256", scope=listed), models_claim="scope")

    assert principal.models == models


async def test_the_models_claim_is_ignored_where_none_is_configured() -> None:
    principal = await verify(mint(SECRET, "HS256", models="nonsense"))

    assert principal.models is None


@pytest.mark.parametrize("listed", ["gpt-*", {"gpt-*": 1}, ["gpt-*", 7], [["gpt-*"]], 7])
async def test_a_malformed_models_claim_is_refused(listed: object) -> None:
    reason = await refusal(mint(SECRET, "HS256", models=listed), models_claim="models")

    assert reason == "bad_claim"


async def test_a_signature_of_another_secret_is_refused() -> None:
    reason = await refusal(mint("another-secret-" + "s" * 32, "HS256"))

    assert reason == "bad_signature"


async def test_a_changed_payload_is_refused() -> None:
    header, _, signature = mint(SECRET, "HS256").split(".")
    payload = base64.urlsafe_b64encode(json.dumps(claims(sub="root")).encode()).decode().rstrip("=")

    reason = await refusal(f"{header}.{payload}.{signature}")

    assert reason == "bad_signature"


async def test_an_algorithm_that_is_not_configured_is_refused_even_with_the_right_secret() -> None:
    reason = await refusal(mint(SECRET, "HS384"))

    assert reason == "algorithm_not_allowed"


@pytest.mark.parametrize(
    "header",
    [{"crit": ["exp"]}, {"crit": []}, {"crit": ["x"], "x": 1}, {"crit": "b64"}],
    ids=["absent", "empty", "unknown", "text"],
)
async def test_a_critical_extension_is_refused(header: dict[str, object]) -> None:
    signed = jwt.PyJWS().encode(json.dumps(claims()).encode(), SECRET, "HS256", headers=header)

    reason = await refusal(signed)

    assert reason == "malformed_token"


async def test_a_detached_payload_is_refused() -> None:
    signed = jwt.PyJWS().encode(json.dumps(claims()).encode(), SECRET, "HS256", headers={"b64": False})

    reason = await refusal(signed)

    assert reason == "malformed_token"


async def test_keys_named_in_the_token_are_not_used() -> None:
    """A token signed with a key of its own choice, which it brings along in every way that a header allows."""
    mine = "attacker-secret-" + "s" * 32
    brought: dict[str, Any] = {
        "jwk": {"kty": "oct", "k": base64.urlsafe_b64encode(mine.encode()).decode()},
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/cert",
        "x5c": ["AAAA"],
    }

    reason = await refusal(mint(mine, "HS256", header=brought))

    assert reason == "bad_signature"


async def test_a_secret_that_is_a_public_key_verifies_nothing() -> None:
    public = "-----BEGIN PUBLIC KEY-----\n" + "A" * 64 + "\n-----END PUBLIC KEY-----\n"

    reason = await refusal(mint(SECRET, "HS256"), secret=public)

    assert reason == "keys_unavailable"


async def test_a_secret_never_prints() -> None:
    source = SharedSecret(SECRET, ("HS256",))

    key = await source.find(None, "HS256")

    assert "canary" not in f"{source!r}{key!r}{issuer()!r}"
