"""Asks aiobotocore where Bedrock's runtime is and what to authenticate with: its own rules, files, variables and services.

Much of that reads files, so all of it happens in a thread, in an event loop of its own; nothing of the SDK's lives on
between two searches. The session is asked anew each time: what a file or a service says by then counts.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from proxy.headers import Header
from proxy.settings import Origin

PATIENCE: Final = 15.0  # seconds for a whole search, a role and a slow program among its steps
LONGEST: Final = 7 * 86_400  # seconds; credentials that live longer are not watched
SERVICE: Final = "bedrock"  # in signatures; the runtime shares it with Bedrock's other services
BEARER_TOKEN: Final = "AWS_BEARER_TOKEN_BEDROCK"  # noqa: S105 - the name of a variable
_SIGNED_PREFIX: Final = b"x-amz"
_MADE: Final = ("X-Amz-Date", "X-Amz-Security-Token", "Authorization")


class NoAccess(Exception):
    """What is missing, in words for the operator that hold nothing secret."""


class Authorization(Protocol):
    """Makes the headers that authenticate one request."""

    covers_body: bool  # so the whole body has to be known

    def headers(self, method: str, url: str, sent: Sequence[Header], body: bytes) -> tuple[Header, ...]:
        """Return the headers to add to those that are *sent*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a search has found. `expires` is in seconds since the epoch; None: not within a week."""

    origin: Origin
    authorization: Authorization
    found_in: str  # the SDK's word for the place
    expires: float | None = None


class Given:
    """Nothing to add: the configuration has the credential."""

    covers_body = False

    def headers(self, method: str, url: str, sent: Sequence[Header], body: bytes) -> tuple[Header, ...]:
        return ()


class Bearer:
    """A Bedrock API key."""

    covers_body = False

    def __init__(self, token: str) -> None:
        self._token = token

    def headers(self, method: str, url: str, sent: Sequence[Header], body: bytes) -> tuple[Header, ...]:
        return ((b"Authorization", b"Bearer " + self._token.encode()),)


class Signature:
    """SigV4 by botocore's own signer, over exactly the bytes that are sent."""

    covers_body = True

    def __init__(self, credentials: Any, region: str) -> None:
        """*credentials* are frozen ones of the SDK's."""
        from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

        self._auth = SigV4Auth(credentials, SERVICE, region)
        self._request = AWSRequest

    def headers(self, method: str, url: str, sent: Sequence[Header], body: bytes) -> tuple[Header, ...]:
        request = self._request(method=method, url=url, data=body)
        for name, value in sent:
            lowered = name.lower()
            # what AWS wants signed if it is there; anything else may be touched by a proxy on the way
            if lowered == b"content-type" or lowered.startswith(_SIGNED_PREFIX):
                request.headers[name.decode("latin-1")] = value.decode("latin-1")
        self._auth.add_auth(request)
        made = ((name, request.headers.get(name)) for name in _MADE)
        return tuple((name.encode(), value.encode()) for name, value in made if value is not None)


class Search:
    """One search for everything that is not given; *credential* says whether that is. `run` blocks, so it is for a thread."""

    def __init__(self, region: str | None, endpoint_url: str | None, *, credential: bool) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._credential = credential
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._stopped = False

    def run(self) -> Access:
        """Search. Raises NoAccess."""
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:  # uvloop has no children outside the main thread
            return runner.run(self._within_limits())

    def stop(self) -> None:
        """Have `run` end soon, with NoAccess; for other threads."""
        self._stopped = True
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def _within_limits(self) -> Access:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopped:
            raise NoAccess("given up")
        try:
            async with asyncio.timeout(PATIENCE):
                return await _find(self._region, self._endpoint_url, credential=self._credential)
        except NoAccess:
            raise
        except TimeoutError as exc:
            raise NoAccess(f"no answer within {PATIENCE:g}s") from exc
        except asyncio.CancelledError as exc:
            raise NoAccess("given up") from exc  # this is a thread's outermost frame: nobody else is there to be cancelled
        except Exception as exc:  # whatever files, programs and services make the SDK raise
            raise NoAccess(_words(exc)) from exc


async def _find(region: str | None, endpoint_url: str | None, *, credential: bool) -> Access:
    from aiobotocore.session import get_session  # type: ignore[import-untyped]

    session = get_session()
    origin, region = await _place(session, region, endpoint_url)
    token = os.environ.get(BEARER_TOKEN)
    if credential:
        return Access(origin=origin, authorization=Given(), found_in="settings")
    if token:
        return Access(origin=origin, authorization=Bearer(token), found_in=BEARER_TOKEN)
    credentials = await session.get_credentials()
    if credentials is None:
        raise NoAccess("there are no AWS credentials in any of the usual places")
    frozen = await credentials.get_frozen_credentials()
    expires = _expires(getattr(credentials, "refresh_needed", None))
    return Access(origin=origin, authorization=Signature(frozen, region), found_in=credentials.method, expires=expires)


async def _place(session: Any, region: str | None, endpoint_url: str | None) -> tuple[Origin, str]:
    """Return the runtime's origin and the region, by the rules of the SDK: partitions, FIPS, overrides."""
    from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
    from botocore import UNSIGNED  # type: ignore[import-untyped]
    from botocore.exceptions import NoRegionError  # type: ignore[import-untyped]

    region = region or os.environ.get("AWS_REGION") or None  # a variable of all SDKs but this one
    unsigned = AioConfig(signature_version=UNSIGNED)
    try:
        async with session.create_client(
            "bedrock-runtime", region_name=region, endpoint_url=endpoint_url, config=unsigned
        ) as client:
            origin, region = Origin.parse(client.meta.endpoint_url), str(client.meta.region_name)
    except NoRegionError as exc:
        raise NoAccess("no region is set: set the upstream's region, AWS_REGION, or that of a profile") from exc
    if origin.path and endpoint_url is None:
        raise NoAccess("the endpoint that the environment names has a path: set it as the upstream's endpoint_url")
    return origin, region


def _expires(due: Callable[[float], bool] | None) -> float | None:
    """Return when credentials expire. The SDK only tells whether less than so many seconds are left; None: never."""
    if due is None:
        return None
    left = bisect.bisect_left(range(LONGEST), True, key=due)
    return None if left == LONGEST else time.time() + max(left - 1, 0)


def _words(error: Exception) -> str:
    """Name an error of the SDK's. Its message may quote anything; a service's own code is a word."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return f"{error.operation_name}: {error.response['Error'].get('Code')}"
    return type(error).__name__
