"""What a kind of backend must be able to say: its paths, its credential, and what a refusal of its means."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an error status of an upstream means.

    `reason` is `rate_limited`, `spend_limit`, `overloaded`, `server_error`, `refused`, or `credentials`.
    """

    reason: str
    transient: bool  # asking again, here or elsewhere, may help


class Provider(abc.ABC):
    """One kind of backend. Holds no state."""

    families: tuple[str, ...]  # the APIs it speaks itself

    @abc.abstractmethod
    def path(self, base: bytes, public: bytes, model: str) -> bytes:
        """Return the request path: *base* is the configured origin's path, *public* the path the client asked for."""

    @abc.abstractmethod
    def credential(self, key: str) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers that authenticate the proxy; none for an empty key."""

    @abc.abstractmethod
    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> Refusal:
        """Judge an error answer; *headers* by lower-case name, *body* perhaps cut short."""

    def request_id(self, headers: Mapping[bytes, bytes]) -> str:
        """Return the upstream's own id of the request, or nothing."""
        for name in (b"x-request-id", b"request-id", b"x-generation-id", b"apim-request-id"):
            value = headers.get(name)
            if value:
                return value[:128].decode("latin-1")
        return ""
