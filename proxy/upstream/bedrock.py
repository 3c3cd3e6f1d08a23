"""Keeps what authenticates requests to Bedrock: found in the background, renewed before it expires, waited for when missing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from proxy import settings
from proxy.errors import BodyTooLarge, UpstreamCredentials
from proxy.headers import Header
from proxy.settings import Origin
from proxy.tasks import Tasks
from proxy.upstream.bedrock_chain import Access, NoAccess, Search

RENEW_BEFORE: Final = 900.0  # seconds before credentials expire; of short-lived ones, the last third of their time
PAUSE: Final = 10.0  # seconds from the end of one search to the next one
FRESH: Final = 60.0  # seconds in which what was found is not looked up again, whatever AWS says of it

_MISSING: Final = "The proxy has no credentials for the model's backend."

log = logging.getLogger("proxy.upstream.bedrock")


class BedrockSigner:
    """One upstream's access to Bedrock. Owned by its backend, which starts and closes it."""

    def __init__(self, name: str, config: settings.Upstream, wall: Callable[[], float] = time.time) -> None:
        self._name = name
        self._region = config.region
        self._endpoint_url = config.endpoint_url
        self._credential = _has_credential(config)
        self._patience = config.connect_timeout
        self._wall = wall
        self._tasks = Tasks()
        self._settle: Callable[[Origin], None] | None = None
        self._access: Access | None = None
        self._found_at = float("-inf")
        self._renew_at = float("inf")
        self._search: Search | None = None  # under way
        self._next_search = float("-inf")
        self._missing = "not searched yet"
        self._waiting: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        found = "nothing" if self._access is None else self._access.found_in
        return f"<BedrockSigner {self._name} found={found}>"

    def start(self, settle: Callable[[Origin], None]) -> None:
        """Begin to search; returns at once. *settle* is told where the runtime is as soon as that is known."""
        self._settle = settle
        self._begin()

    async def close(self) -> None:
        """Give up a search that is under way."""
        if self._search is not None:
            self._search.stop()
        await self._tasks.close()

    def sweep(self) -> None:
        """Renew what will soon expire. Called by the ticker."""
        now = self._wall()
        if now >= self._renew_at and now >= self._next_search:
            self._begin()

    def doubt(self) -> None:
        """Look again soon: AWS has refused what was found, and a file may say something else by now."""
        if self._access is not None and self._access.authorization.covers_body:
            self._renew_at = min(self._renew_at, self._found_at + FRESH)

    def ready(self) -> asyncio.Future[None] | None:
        """Return what to wait for before anything can be signed; None: nothing. Whoever gives it up cancels it.

        Raises UpstreamCredentials, as does the future, after `connect_timeout` at the latest.
        """
        now = self._wall()
        if self._good(now):
            return None
        if now >= self._next_search:
            self._begin()
        if self._search is None:
            raise self._failure()
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.add(waiter)
        timer = loop.call_later(self._patience, self._tell, waiter)
        waiter.add_done_callback(lambda _: timer.cancel())
        waiter.add_done_callback(self._waiting.discard)
        return waiter

    def headers(self, method: bytes, url: str, sent: Sequence[Header], body: bytes | None) -> tuple[Header, ...]:
        """Return the headers that authenticate a request with exactly this *url*, these headers and this *body*.

        Raises BodyTooLarge for a *body* that is streamed, where it has to be signed.
        """
        assert self._access is not None  # see `ready`
        authorization = self._access.authorization
        if body is None and authorization.covers_body:
            raise BodyTooLarge("streamed", public="The request body is too large to be signed.")
        return authorization.headers(method.decode("ascii"), url, sent, body or b"")

    def _good(self, now: float) -> bool:
        access = self._access
        return access is not None and (access.expires is None or now < access.expires)

    def _begin(self) -> None:
        if self._search is None:
            self._search = Search(self._region, self._endpoint_url, credential=self._credential)
            self._tasks.spawn(self._find(self._search), name=f"access to {self._name}")

    async def _find(self, search: Search) -> None:
        try:
            access = await asyncio.to_thread(search.run)
        except NoAccess as exc:
            self._missing = str(exc)
            log.warning("no access to bedrock", extra={"upstream": self._name, "problem": self._missing})
        else:
            self._found(access)
        finally:
            self._search = None
            self._next_search = self._wall() + PAUSE
            for waiter in tuple(self._waiting):
                self._tell(waiter)

    def _found(self, access: Access) -> None:
        now = self._found_at = self._wall()
        self._access = access
        left = float("inf") if access.expires is None else access.expires - now
        self._renew_at = now + left - min(RENEW_BEFORE, left / 3)
        if self._settle is not None:
            self._settle(access.origin)
        log.info("access to bedrock", extra={"upstream": self._name, "host": access.origin.host, "found_in": access.found_in})

    def _tell(self, waiter: asyncio.Future[None]) -> None:
        """Wake one that waits: with good news, or else because nothing good has come in time."""
        if waiter.done():
            return
        if self._good(self._wall()):
            waiter.set_result(None)
        else:
            waiter.set_exception(self._failure())

    def _failure(self) -> UpstreamCredentials:
        problem = f"no answer within {self._patience:g}s" if self._search is not None else self._missing
        return UpstreamCredentials(f"no access to {self._name}: {problem}", public=_MISSING)


def signer_of(name: str, config: settings.Upstream) -> BedrockSigner | None:
    """Return what authenticates the requests to an upstream; None: its configuration says all there is to say."""
    if config.kind != "bedrock" or (config.endpoint_url is not None and _has_credential(config)):
        return None
    return BedrockSigner(name, config)


def _has_credential(config: settings.Upstream) -> bool:
    return bool(config.api_key.get_secret_value()) or any(name.lower() == "authorization" for name in config.headers)
