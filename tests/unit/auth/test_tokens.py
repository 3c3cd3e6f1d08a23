"""What is a JWT goes to its issuer and nowhere else; what was good stays good for a moment."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.auth import Principal
from proxy.auth import tokens as tokens_module
from proxy.auth.issuer import Issuer, SharedSecret
from proxy.auth.jwks import JwksClient
from proxy.auth.keyset import VerifyingKey
from proxy.auth.tokens import CACHE_FOR, Tokens, open_issuers
from proxy.errors import Unauthenticated
from proxy.settings import JwtIssuer
from tests.unit.auth.issuing import AUDIENCE, ISSUER, NOW, Clock, bearer, mint

SECRET = "canary-hs-secret-" + "s" * 32
SETTINGS = JwtIssuer.model_validate(
    {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["HS256", "HS512"], "secret": SECRET + "s" * 32, "leeway": "0s"}
)
KEY = SECRET + "s" * 32


class CountedSecret(SharedSecret):
    """Tells how often a key was needed, which is how often a token was verified."""

    def __init__(self) -> None:
        super().__init__(KEY, ("HS256", "HS512"))
        self.asked = 0

    async def find(self, key_id: str | None, algorithm: str) -> VerifyingKey:
        self.asked += 1
        return await super().find(key_id, algorithm)


def counted() -> tuple[Tokens, CountedSecret]:
    source = CountedSecret()
    return Tokens([Issuer(SETTINGS, source, 100)]), source


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def refusal(token: str, now: float = NOW) -> tuple[str, int]:
    tokens, source = counted()
    with pytest.raises(Unauthenticated) as caught:
        await tokens.verify(bearer(token), now)
    return caught.value.reason, source.asked


async def verified(tokens: Tokens, token: str, now: float = NOW) -> Principal:
    principal = await tokens.verify(bearer(token), now)
    assert principal is not None
    return principal


async def test_a_token_of_a_configured_issuer_is_verified() -> None:
    tokens, _ = counted()

    principal = await verified(tokens, mint(KEY, "HS512"))

    assert principal.subject == "user-1"


async def test_each_issuer_has_rules_of_its_own() -> None:
    other = JwtIssuer.model_validate({"issuer": "other", "audience": "b", "algorithms": ["HS256"], "secret": "o" * 32})
    tokens, caches = open_issuers([SETTINGS, other], 100, JwksClient(), Clock())

    principal = await verified(tokens, mint("o" * 32, "HS256", iss="other", aud="b", sub="their user"))

    assert principal.subject == "their user"
    assert caches == ()
    with pytest.raises(Unauthenticated):
        await tokens.verify(bearer(mint("o" * 32, "HS256")), NOW)


@pytest.mark.parametrize("token", ["pk_live_1", "a.b", "a.b.c.d", "."])
async def test_what_has_no_three_parts_is_left_to_others(token: str) -> None:
    tokens, _ = counted()

    assert await tokens.verify(bearer(token), NOW) is None


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("..", "malformed_token"),
        ("a.b.c", "malformed_token"),
        (f"{part({'alg': 'HS256'})}.{part([1])}.c", "malformed_token"),
        (f"{part('HS256')}.{part({'iss': ISSUER})}.c", "malformed_token"),
        (f"{part({'alg': 'HS256'})}.{part({})}.c", "unknown_issuer"),
        (f"{part({'alg': 'HS256'})}.{part({'iss': 'nobody'})}.c", "unknown_issuer"),
        (f"{part({'alg': 'HS256'})}.{part({'iss': [ISSUER]})}.c", "unknown_issuer"),
        (f"{part({'alg': 'none'})}.{part({'iss': ISSUER})}.", "algorithm_not_allowed"),
        (f"{part({'alg': 'None'})}.{part({'iss': ISSUER})}.c", "algorithm_not_allowed"),
        (f"{part({'alg': 'RS256'})}.{part({'iss': ISSUER})}.c", "algorithm_not_allowed"),
        (f"{part({'alg': ['HS256']})}.{part({'iss': ISSUER})}.c", "algorithm_not_allowed"),
        (f"{part({})}.{part({'iss': ISSUER})}.c", "algorithm_not_allowed"),
        (f"{part({'alg': 'HS256', 'kid': 7})}.{part({'iss': ISSUER})}.c", "malformed_token"),
        (f"{part({'alg': 'HS256', 'kid': 'k' * 129})}.{part({'iss': ISSUER})}.c", "malformed_token"),
    ],
)
async def test_a_token_that_selects_no_key_is_refused_before_any_is_looked_for(token: str, reason: str) -> None:
    """No key look-up means no fetch: a forged head costs the issuer nothing."""
    refused = await refusal(token)

    assert refused == (reason, 0)


@pytest.mark.parametrize("kid", ["", "../../etc/passwd", "' OR 1=1 --", "k" * 128])
async def test_a_key_id_is_only_a_name(kid: str) -> None:
    tokens, _ = counted()

    principal = await verified(tokens, mint(KEY, "HS256", kid=kid))

    assert principal.subject == "user-1"


async def test_a_good_token_is_verified_once_in_a_while_only() -> None:
    tokens, source = counted()
    token = mint(KEY, "HS256")

    principals = [await verified(tokens, token, NOW + moment) for moment in (0, 1, CACHE_FOR - 0.001)]

    assert source.asked == 1
    assert principals[0] is principals[2]
    await verified(tokens, token, NOW + CACHE_FOR)
    assert source.asked == 2


async def test_a_remembered_token_still_expires_in_time() -> None:
    tokens, _ = counted()
    token = mint(KEY, "HS256", exp=int(NOW) + 5)
    await verified(tokens, token)

    with pytest.raises(Unauthenticated) as caught:
        await tokens.verify(bearer(token), NOW + 5)

    assert caught.value.reason == "expired"


async def test_a_clock_that_was_set_back_makes_tokens_be_verified_again() -> None:
    tokens, source = counted()
    token = mint(KEY, "HS256", iat=None)
    await verified(tokens, token)

    await verified(tokens, token, NOW - 3600)

    assert source.asked == 2


async def test_a_bad_token_is_never_remembered() -> None:
    tokens, source = counted()
    token = mint(KEY, "HS256")
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    await verified(tokens, token)

    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await tokens.verify(bearer(forged), NOW)

    assert source.asked == 3


async def test_only_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "CACHE_SIZE", 2)
    tokens, source = counted()
    minted = [mint(KEY, "HS256", sub=f"user-{number}") for number in range(3)]
    for token in minted:
        await verified(tokens, token)

    await verified(tokens, minted[2])
    assert source.asked == 3

    await verified(tokens, minted[0])
    assert source.asked == 4
    assert "2 remembered" in repr(tokens)


_CHARACTERS = st.text("abcABC019-_=+/ .", max_size=12)
_PARTS = st.one_of(
    _CHARACTERS,
    st.builds(
        part, st.dictionaries(st.sampled_from(["alg", "iss", "kid", "b64", "crit"]), st.sampled_from(["HS256", ISSUER, 7]))
    ),
    st.binary(max_size=12).map(lambda raw: base64.urlsafe_b64encode(raw).decode()),
)
_TOKENS, _ = counted()


@given(st.tuples(_PARTS, _PARTS, _PARTS))
async def test_no_token_raises_anything_but_a_refusal(parts: tuple[str, str, str]) -> None:
    token = ".".join(parts)

    try:
        principal = await _TOKENS.verify(bearer(token), NOW)
    except Unauthenticated:
        return

    assert principal is None
    assert token.count(".") != 2
