"""Keeps one issuer's published keys: fetched in the background, kept through outages, never fetched more than it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from proxy.auth.keyset import JwksError, KeySet, VerifyingKey, read_keyset
from proxy.auth.reasons import Reason
from proxy.errors import Unauthenticated
from proxy.tasks import Tasks

MAX_DOCUMENT: Final = 256 * 1024  # bytes
FETCH_TIMEOUT: Final = 10.0  # seconds, as everything below
TTL: Final = 300.0  # from half of it on, the next look-up refreshes in the background; beyond it, it waits for that
KEEP: Final = 12 * 3600.0  # how long the last good keys serve while the issuer cannot be reached
FAILURE_PAUSE: Final = 5.0  # between two attempts when the first one fails
UNKNOWN_KEY_COOLDOWN: Final = 30.0  # between two refreshes that unknown key ids ask for, whichever ids
ABSENT_FOR: Final = 60.0  # an id that a refresh did not bring asks for no other one so long
PATIENCE: Final = 5.0  # the longest that a request waits for a refresh
_MAX_ABSENT: Final = 256

log = logging.getLogger("proxy.auth.jwks")


class JwksClient:
    """Fetches key documents, and nothing else: no redirect, no cookie, no proxy from the environment, no kept connection."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> bytes:
        """Return the document at *url*. Raises only `JwksError`."""
        try:
            async with self._open().get(url, allow_redirects=False) as response:
                if response.status != 200:
                    raise JwksError(f"status {response.status}")
                return await _read(response.content)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise JwksError(type(exc).__name__) from exc

    async def close(self) -> None:
        """Close the session, if there was anything to fetch."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT),
                headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "llm-stream-proxy"},
                trust_env=False,
            )
        return self._session


class JwksCache:
    """One issuer's keys. Requests wait for the network only when there is nothing good enough to answer from."""

    def __init__(
        self, url: str, algorithms: tuple[str, ...], *, client: JwksClient, clock: Callable[[], float], patience: float = PATIENCE
    ) -> None:
        self._url = url
        self._algorithms = algorithms
        self._client = client
        self._clock = clock
        self._patience = patience
        self._tasks = Tasks()
        self._keys: KeySet | None = None
        self._loaded = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._failing = False
        self._next_try = float("-inf")
        self._next_search = float("-inf")
        self._absent: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"JwksCache({len(self._keys or ())} keys, failing={self._failing})"

    def start(self) -> None:
        """Begin to load the keys; returns at once."""
        self._refresh(self._clock())

    async def close(self) -> None:
        """Stop a refresh that is under way."""
        await self._tasks.close()

    async def find(self, key_id: str | None, algorithm: str) -> VerifyingKey:
        """Return the key for a token's `kid` and `alg`, waiting at most `PATIENCE` for the network.

        Raises `Unauthenticated`. Cancelling a caller leaves the refresh to the others who wait for it.
        """
        now = self._clock()
        keys = await self._good_keys(now)
        if key_id is not None and key_id not in keys:
            keys = await self._search(key_id, keys, now)
        return keys.select(key_id, algorithm)

    async def _good_keys(self, now: float) -> KeySet:
        age = now - self._loaded
        if self._keys is None or age >= TTL:
            await self._renew(now)
        elif age >= TTL / 2 and now >= self._next_try:
            self._refresh(now)
        if self._keys is None or self._clock() - self._loaded > KEEP:
            raise Unauthenticated(Reason.KEYS_UNAVAILABLE, "the issuer's keys could not be fetched")
        return self._keys

    async def _renew(self, now: float) -> None:
        """Refresh and wait, except in an outage that is known already: then whatever is there has to do."""
        if now >= self._next_try:
            self._refresh(now)
        if self._keys is None or not self._failing:
            await self._settled()

    async def _search(self, key_id: str, keys: KeySet, now: float) -> KeySet:
        """Look whether a refresh brings *key_id*: the issuer may have rotated its keys since the last one."""
        if self._refreshing is None:
            if now < self._next_search or now < self._absent.get(key_id, now):
                return keys
            self._next_search = now + UNKNOWN_KEY_COOLDOWN
            self._refresh(now)
        await self._settled()
        keys = self._keys or keys
        if key_id not in keys:
            if len(self._absent) >= _MAX_ABSENT:
                del self._absent[next(iter(self._absent))]
            self._absent[key_id] = now + ABSENT_FOR
        return keys

    def _refresh(self, now: float) -> None:
        """Start a refresh unless one is under way."""
        if self._refreshing is None:
            self._next_try = now + FAILURE_PAUSE
            self._refreshing = self._tasks.spawn(self._load(), name="jwks refresh")

    async def _settled(self) -> None:
        if (task := self._refreshing) is not None:
            done, _ = await asyncio.wait((task,), timeout=self._patience)
            self._failing = self._failing or not done

    async def _load(self) -> None:
        try:
            keys = read_keyset(await self._client.fetch(self._url), self._algorithms)
        except JwksError as exc:
            self._failing = True
            log.warning("jwks refresh failed", extra={"host": urlsplit(self._url).hostname, "error": str(exc)})
        else:
            self._keys, self._loaded, self._failing = keys, self._clock(), False
            log.debug("jwks refreshed", extra={"host": urlsplit(self._url).hostname, "keys": len(keys)})
        finally:
            self._refreshing = None


async def _read(content: aiohttp.StreamReader) -> bytes:
    document = bytearray()
    async for piece in content.iter_chunked(16 * 1024):
        document += piece
        if len(document) > MAX_DOCUMENT:
            raise JwksError(f"larger than {MAX_DOCUMENT} bytes")
    return bytes(document)
