"""Who a request is from, and which models they may use."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.globs import Glob


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller. `method` is `anonymous`, `api_key` or `jwt`; `expires_at` is in seconds since the epoch.

    `issuer` is that of a token: its `sub` is a name for that issuer only (RFC 7519 4.1.2).
    """

    subject: str
    method: str
    models: tuple[str, ...] | None  # patterns in which only `*` is special; None: every model
    max_streams: int
    expires_at: float | None = None
    issuer: str = ""
    slot: str = field(init=False, repr=False, compare=False)  # what its requests are counted under
    _globs: tuple[Glob, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # a key, and the token of each issuer, may carry the same name and still be two callers; no subject holds a line feed
        giver = f"{self.issuer}\n" if self.issuer else ""
        object.__setattr__(self, "slot", f"{self.method}:{giver}{self.subject}")
        object.__setattr__(self, "_globs", tuple(Glob(pattern) for pattern in self.models or ()))

    def may_use(self, model: str) -> bool:
        """Tell whether the allow-list covers the public name *model*."""
        if self.models is None:
            return True
        return any(glob.matches(model) for glob in self._globs)
