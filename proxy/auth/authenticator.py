"""Turns a request's credential into its principal: deny by default."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final, Protocol

from proxy.auth.browsers import may_use_cookie
from proxy.auth.credential import COOKIE, TICKET, Credential, RequestHead, find_credential
from proxy.auth.desk import Issued, TicketDesk
from proxy.auth.jwks import JwksClient
from proxy.auth.keys import ApiKeys
from proxy.auth.principal import Principal
from proxy.auth.reasons import Reason
from proxy.auth.tickets import Tickets, TicketStore
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
        self,
        auth: Auth,
        *,
        anonymous: bool,
        default_max_streams: int,
        origins: Collection[str] = (),
        tickets: Tickets | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*origins* are those whose pages may use a cookie; *tickets* are kept elsewhere if they are to outlive this."""
        self._query_token = auth.query_token
        self._cookie = None if auth.cookie is None else auth.cookie.encode()
        self._origins = frozenset(origins)
        self._desk = TicketDesk(TicketStore() if tickets is None else tickets, auth.tickets.ttl, clock)
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

    async def identify(self, request: RequestHead, now: float) -> Principal:
        """Find the request's credential and authenticate it; *now* is seconds since the epoch. Raises `Unauthenticated`."""
        try:
            credential = self._find(request)
            if credential is not None and credential.place == TICKET:
                credential = await self._desk.redeem(credential.token, request)
        except Unauthenticated:
            if self._anonymous is None:
                raise
            return self._anonymous
        return await self.authenticate(credential, now)

    async def issue(self, path: bytes, caller: Principal, request: RequestHead, now: float) -> Issued:
        """Return a ticket for a GET of *path*, in place of the credential with which *caller* sent *request*. Raises TooManyTickets."""
        try:
            credential = self._find(request)
        except Unauthenticated:  # it was ignored when the caller was identified, and is here
            credential = None
        return await self._desk.issue(path, caller, credential, request, now)

    async def authenticate(self, credential: Credential | None, now: float) -> Principal:
        """Return the principal behind *credential*; *now* is seconds since the epoch. Raises `Unauthenticated`."""
        try:
            return await self._ask(credential, now)
        except Unauthenticated:
            if self._anonymous is None:
                raise
            return self._anonymous

    def _find(self, request: RequestHead) -> Credential | None:
        credential = find_credential(request, query_token=self._query_token, cookie=self._cookie)
        if credential is not None and credential.place == COOKIE and not may_use_cookie(request, self._origins):
            raise Unauthenticated(Reason.COOKIE_ORIGIN, "no page of that origin may use the cookie")
        return credential

    async def _ask(self, credential: Credential | None, now: float) -> Principal:
        if credential is None:
            raise Unauthenticated(Reason.MISSING, "no credential in the request")
        for verifier in self._verifiers:
            if (principal := await verifier.verify(credential, now)) is not None:
                return principal
        raise Unauthenticated(Reason.UNKNOWN_API_KEY, "no verifier recognises the credential")
