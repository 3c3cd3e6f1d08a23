"""What a kind of backend must be able to say: its paths, its credential, and what a refusal of its means."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from proxy import settings


@dataclass(slots=True)
class Asked:
    """A request as one of the APIs reads it, before it is one backend's.

    `path`, `query` and `version` are raw bytes; `query` begins with `?` where there is one. `model` is the name over there.
    """

    api: str
    path: bytes
    query: bytes = b""
    model: str = ""
    stream: bool = False
    version: bytes = b""  # of the API, where the path that was asked for goes with one


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an error status of an upstream means.

    `reason` is `rate_limited`, `spend_limit`, `overloaded`, `server_error`, `refused`, or `credentials`.
    """

    reason: str
    transient: bool  # asking again, here or elsewhere, may help


class Provider(abc.ABC):
    """One configured backend of some kind. Knows its configuration; holds no state of a request.

    *base* is the path of the configured origin.
    """

    speaks: ClassVar[frozenset[str]]  # the APIs that its kind has
    defaults: ClassVar[
        tuple[tuple[bytes, bytes], ...]
    ] = ()  # headers for where the client sends none of that name, in lower case

    def __init__(self, config: settings.Upstream, base: bytes) -> None:
        self._base = base.rstrip(b"/")
        self.apis = self.speaks if config.apis is None else self.speaks & frozenset(config.apis)

    @abc.abstractmethod
    def target(self, asked: Asked) -> bytes:
        """Return the request target over there, query included."""

    def reads_model(self, api: str) -> bool:
        """Tell whether the body of a request of this API must name the model as it is called over there."""
        del api
        return True

    @abc.abstractmethod
    def credential(self, key: str) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers that authenticate the proxy; none for an empty key."""

    @abc.abstractmethod
    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> Refusal:
        """Judge an error answer; *headers* by lower-case name, *body* perhaps cut short."""

    def request_id(self, headers: Mapping[bytes, bytes]) -> str:
        """Return the upstream's own id of the request, or nothing."""
        for name in (b"x-request-id", b"request-id", b"x-generation-id", b"apim-request-id", b"x-amzn-requestid"):
            value = headers.get(name)
            if value:
                return value[:128].decode("latin-1")
        return ""
