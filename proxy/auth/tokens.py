"""Recognises JWTs, hands each to its configured issuer, and remembers for a moment which ones were good."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson

from proxy.auth.credential import Credential
from proxy.auth.issuer import Issuer, KeySource, SharedSecret
from proxy.auth.jwks import JwksCache, JwksClient
from proxy.auth.keyset import MAX_KEY_ID
from proxy.auth.principal import Principal
from proxy.auth.reasons import Reason
from proxy.errors import Unauthenticated
from proxy.settings import JwtIssuer

CACHE_FOR: Final = 25.0  # seconds for which a good token is not verified again
CACHE_SIZE: Final = 4096  # tokens


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    since: float
    until: float


class Tokens:
    """The configured issuers. Whatever has the shape of a JWT is judged here; everything else is left to others."""

    def __init__(self, issuers: Iterable[Issuer]) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._verified: dict[bytes, _Verified] = {}

    def __repr__(self) -> str:
        return f"Tokens({sorted(self._issuers)}, {len(self._verified)} remembered)"

    async def verify(self, credential: Credential, now: float) -> Principal | None:
        """Return the token's principal, or None if this is no JWT; raises `Unauthenticated` for one that is not valid.

        A good token is remembered under its SHA-256 for `CACHE_FOR` at most, because verifying it costs as much as the rest
        of a plain request; a key that its issuer withdraws stops working that much later, and a connection's `Caller` later.
        """
        token = credential.token
        if token.count(".") != 2:
            return None
        digest = sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None and known.since <= now < known.until:
            return known.principal
        key_id, algorithm, issuer = self._read_unverified(token)
        principal = await issuer.verify(token, key_id, algorithm, now)
        self._remember(digest, principal, now)
        return principal

    def _read_unverified(self, token: str) -> tuple[str | None, str, Issuer]:
        """Read what selects the issuer and its key. PyJWT reads the token again: nothing from here is believed."""
        header_part, claims_part, _ = token.split(".")
        header, claims = _decode(header_part), _decode(claims_part)
        name = claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise Unauthenticated(Reason.UNKNOWN_ISSUER, "no such issuer is configured")
        key_id = header.get("kid")
        if key_id is not None and (not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID):
            raise Unauthenticated(Reason.MALFORMED_TOKEN, "the key id is not a short string")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
            raise Unauthenticated(Reason.ALGORITHM, "the issuer does not sign with this algorithm")
        return key_id, algorithm, issuer

    def _remember(self, digest: bytes, principal: Principal, now: float) -> None:
        """Keep a good token, at most until its `exp`; the one that was kept first makes room."""
        until = now + CACHE_FOR
        if principal.expires_at is not None:
            until = min(until, principal.expires_at)
        self._verified.pop(digest, None)
        if len(self._verified) >= CACHE_SIZE:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = _Verified(principal, now, until)


def open_issuers(
    issuers: Iterable[JwtIssuer], default_max_streams: int, client: JwksClient, clock: Callable[[], float]
) -> tuple[Tokens, tuple[JwksCache, ...]]:
    """Build the verifier of all *issuers*, and their key caches, which the caller starts and closes."""
    caches: list[JwksCache] = []
    opened: list[Issuer] = []
    for settings in issuers:
        source: KeySource
        if settings.jwks_url is None:
            source = SharedSecret(settings.secret.get_secret_value(), settings.algorithms)
        else:
            source = JwksCache(settings.jwks_url, settings.algorithms, client=client, clock=clock)
            caches.append(source)
        opened.append(Issuer(settings, source, default_max_streams))
    return Tokens(opened), tuple(caches)


def _decode(part: str) -> dict[str, Any]:
    try:
        decoded = orjson.loads(base64.urlsafe_b64decode(part + "==="))
    except ValueError as exc:
        raise Unauthenticated(Reason.MALFORMED_TOKEN, "not base64url-encoded JSON") from exc
    if not isinstance(decoded, dict):
        raise Unauthenticated(Reason.MALFORMED_TOKEN, "not a JSON object")
    return decoded
