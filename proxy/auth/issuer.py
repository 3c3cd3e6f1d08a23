"""Decides whether one issuer's token is good, and who it speaks for; PyJWT does the cryptography."""

from __future__ import annotations

from typing import Any, Final, Protocol

import jwt

from proxy.auth.keyset import VerifyingKey
from proxy.auth.principal import Principal
from proxy.auth.reasons import Reason
from proxy.errors import Unauthenticated
from proxy.settings import JwtIssuer

METHOD: Final = "jwt"
MAX_LIFETIME: Final = 24 * 3600.0  # seconds from `iat` to `exp`; a token without `iat` is not measured
MAX_SUBJECT: Final = 256  # characters
_LAST_TIME: Final = float(2**53)  # beyond it, sums of seconds are no longer exact

# Children come before their parents: the first match gives the reason.
_REASONS: Final[tuple[tuple[type[jwt.PyJWTError], Reason], ...]] = (
    (jwt.MissingRequiredClaimError, Reason.MISSING_CLAIM),
    (jwt.InvalidAudienceError, Reason.AUDIENCE),
    (jwt.InvalidIssuerError, Reason.UNKNOWN_ISSUER),
    (jwt.InvalidAlgorithmError, Reason.ALGORITHM),
    (jwt.InvalidSignatureError, Reason.SIGNATURE),
    (jwt.InvalidKeyError, Reason.KEYS_UNAVAILABLE),  # a secret that is a public key or a JWK
    (jwt.exceptions.InvalidSubjectError, Reason.BAD_CLAIM),
    (jwt.exceptions.InvalidJTIError, Reason.BAD_CLAIM),
)


class KeySource(Protocol):
    """Where an issuer's keys come from: only ever the configuration, never the token (`jku`, `jwk`, `x5u`, `x5c`)."""

    async def find(self, key_id: str | None, algorithm: str) -> VerifyingKey:
        """Return the key for a token's `kid` and `alg`, or raise `Unauthenticated`."""


class SharedSecret:
    """The one key of an issuer that signs with HMAC; a `kid` means nothing to it."""

    def __init__(self, secret: str, algorithms: tuple[str, ...]) -> None:
        self._key = VerifyingKey(None, algorithms, secret.encode())

    async def find(self, key_id: str | None, algorithm: str) -> VerifyingKey:
        """Return the secret."""
        return self._key


class Issuer:
    """One issuer's rules. `algorithms` is fixed by the configuration; a token can only name one of them."""

    def __init__(self, settings: JwtIssuer, keys: KeySource, default_max_streams: int) -> None:
        self.name = settings.issuer
        self.algorithms: tuple[str, ...] = settings.algorithms
        self._audience = settings.audience
        self._leeway = settings.leeway
        self._models_claim = settings.models_claim
        self._max_streams = default_max_streams
        self._keys = keys
        self._decoder = jwt.PyJWT(
            {
                "require": ["exp", "iss", "sub", "aud"],
                "enforce_minimum_key_length": True,
                # PyJWT reads the clock itself; check_times is given the `now` of the request
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            }
        )

    async def verify(self, token: str, key_id: str | None, algorithm: str, now: float) -> Principal:
        """Return the token's principal. Raises `Unauthenticated`.

        *key_id* and *algorithm* come from the unverified header and only select the key.
        """
        key = await self._keys.find(key_id, algorithm)
        try:
            claims = self._decoder.decode(token, key.material, key.algorithms, audience=self._audience, issuer=self.name)
        except jwt.PyJWTError as exc:
            raise Unauthenticated(_reason(exc), type(exc).__name__) from exc
        expires_at = check_times(claims, self._leeway, now)
        return Principal(
            subject=_subject(claims),
            method=METHOD,
            models=self._models(claims),
            max_streams=self._max_streams,
            expires_at=expires_at,
            issuer=self.name,
        )

    def _models(self, claims: dict[str, Any]) -> tuple[str, ...] | None:
        """Read the allow-list. Where a claim is configured, a token without it may use nothing."""
        if self._models_claim is None:
            return None
        listed = claims.get(self._models_claim, [])
        if not isinstance(listed, list) or not all(isinstance(model, str) for model in listed):
            raise Unauthenticated(Reason.BAD_CLAIM, "the models claim is not a list of strings")
        return tuple(listed)


def check_times(claims: dict[str, Any], leeway: float, now: float) -> float:
    """Return `exp`; raises `Unauthenticated` if the token is not valid at *now* or was made to last too long."""
    expires, issued, begins = _time(claims, "exp"), _time(claims, "iat"), _time(claims, "nbf")
    if expires is None:
        raise Unauthenticated(Reason.MISSING_CLAIM, "exp is missing")
    if now >= expires + leeway:
        raise Unauthenticated(Reason.EXPIRED, "exp has passed")
    if max(issued or 0.0, begins or 0.0) > now + leeway:
        raise Unauthenticated(Reason.NOT_YET_VALID, "iat or nbf is still to come")
    if issued is not None and expires - issued > MAX_LIFETIME:
        raise Unauthenticated(Reason.LIFETIME, "exp is more than 24 hours after iat")
    return expires


def _time(claims: dict[str, Any], name: str) -> float | None:
    """Read a NumericDate: a JSON number, never a string of digits (RFC 7519 section 2), and finite."""
    value = claims.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= _LAST_TIME:
        raise Unauthenticated(Reason.BAD_CLAIM, f"{name} is not a time")
    return float(value)


def _subject(claims: dict[str, Any]) -> str:
    subject: str = claims["sub"]
    if not is_subject(subject):
        raise Unauthenticated(Reason.BAD_CLAIM, "sub is empty, too long or not printable")
    return subject


def _reason(error: jwt.PyJWTError) -> Reason:
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return Reason.MALFORMED_TOKEN


def is_subject(text: str) -> bool:
    """Tell whether *text* may name who a token speaks for."""
    return 0 < len(text) <= MAX_SUBJECT and text.isprintable()
