"""Turns a request's credential into its principal: deny by default."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from proxy.auth.credential import Credential, find_credential
from proxy.auth.jwks import JwksClient
from proxy.auth.keys import ApiKeys
from proxy.auth.principal import Principal
from proxy.auth.reasons import Reason
from proxy.auth.tokens import open_issuers
from proxy.errors import Unauthenticated
from proxy.settings import Auth

ANONYMOUS: Final = "anonymous"


class Verifier(Protocol):
    """One way to authenticate."""

    async def verify(self, credential: Credential, now: float) -> Principal | None:
        """Return the principal, or None if the credential is not of this kind; raise `Unauthenticated` if it is bad."""


class Authenticator:
    """Asks its verifiers in order; the first that recognises the credential's kind decides.

    A credential with exactly two dots is a JWT wherever an issuer is configured, and is then never tried as an API key;
    without an issuer everything is an API key. With *anonymous*, what is not valid counts as nothing at all.
    """

    def __init__(
        self, auth: Auth, *, anonymous: bool, default_max_streams: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._query_token = auth.query_token
        self._anonymous = (
            Principal(subject=ANONYMOUS, method=ANONYMOUS, models=None, max_streams=default_max_streams) if anonymous else None
        )
        self._client = JwksClient()
        tokens, self._caches = open_issuers(auth.jwt, default_max_streams, self._client, clock)
        keys = ApiKeys(auth.api_keys, default_max_streams)
        self._verifiers: tuple[Verifier, ...] = (tokens, keys) if auth.jwt else (keys,)

    async def start(self) -> None:
        """Begin to load the issuers' keys in the background."""
        for cache in self._caches:
            cache.start()

    async def close(self) -> None:
        """Stop what still loads and close the session."""
        for cache in self._caches:
            await cache.close()
        await self._client.close()

    async def identify(self, head: Mapping[bytes, Sequence[bytes]], query: bytes, method: bytes, now: float) -> Principal:
        """Find the request's credential and authenticate it; *now* is seconds since the epoch. Raises `Unauthenticated`."""
        try:
            credential = find_credential(head, query, query_token=self._query_token, method=method)
        except Unauthenticated:
            if self._anonymous is None:
                raise
            return self._anonymous
        return await self.authenticate(credential, now)

    async def authenticate(self, credential: Credential | None, now: float) -> Principal:
        """Return the principal behind *credential*; *now* is seconds since the epoch. Raises `Unauthenticated`."""
        try:
            return await self._ask(credential, now)
        except Unauthenticated:
            if self._anonymous is None:
                raise
            return self._anonymous

    async def _ask(self, credential: Credential | None, now: float) -> Principal:
        if credential is None:
            raise Unauthenticated(Reason.MISSING, "no credential in the request")
        for verifier in self._verifiers:
            if (principal := await verifier.verify(credential, now)) is not None:
                return principal
        raise Unauthenticated(Reason.UNKNOWN_API_KEY, "no verifier recognises the credential")
