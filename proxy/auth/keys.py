"""API keys: a token is known by its SHA-256 and by nothing else."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from proxy.auth.credential import Credential
from proxy.auth.principal import Principal
from proxy.auth.reasons import Reason
from proxy.errors import Unauthenticated
from proxy.settings import ApiKey

METHOD: Final = "api_key"


@dataclass(frozen=True, slots=True)
class _Entry:
    digest: bytes
    principal: Principal | None


# Looked at in place of an entry that does not exist, so that an unknown key costs the same work as a known one.
_NOBODY: Final = _Entry(bytes(32), None)


class ApiKeys:
    """The configured API keys. Asked last: it gives a verdict on every credential."""

    def __init__(self, keys: Iterable[ApiKey], default_max_streams: int) -> None:
        self._entries = {(entry := _entry(key, default_max_streams)).digest: entry for key in keys}

    def __repr__(self) -> str:
        return f"ApiKeys({len(self._entries)})"

    async def verify(self, credential: Credential, now: float) -> Principal:
        """Return the key's principal; raises `Unauthenticated` for a key that is not configured.

        The look-up goes by digest, so its time says nothing about the token.
        """
        digest = sha256(credential.token.encode()).digest()
        entry = self._entries.get(digest, _NOBODY)
        if not hmac.compare_digest(entry.digest, digest) or entry.principal is None:
            raise Unauthenticated(Reason.UNKNOWN_API_KEY, "no configured API key has this digest")
        return entry.principal


def _entry(key: ApiKey, default_max_streams: int) -> _Entry:
    limit = default_max_streams if key.max_streams is None else key.max_streams
    return _Entry(bytes.fromhex(key.sha256), Principal(subject=key.id, method=METHOD, models=key.models, max_streams=limit))
