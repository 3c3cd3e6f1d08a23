"""Cross-origin rules (Fetch standard): exact origins, the same answer on errors, preflights before authentication."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Headers = list[tuple[bytes, bytes]]

_METHODS: Final = b"GET, POST, DELETE, OPTIONS"
_ALLOWED: Final = (
    b"Authorization, Content-Type, Last-Event-ID, X-Api-Key, Api-Key, X-Goog-Api-Key, X-Request-Id, OpenAI-Organization, OpenAI-Project, "
    b"OpenAI-Beta, Anthropic-Version, Anthropic-Beta, Anthropic-Dangerous-Direct-Browser-Access, X-Goog-Api-Client, X-Stainless-Lang, "
    b"X-Stainless-Package-Version, X-Stainless-OS, X-Stainless-Arch, X-Stainless-Runtime, X-Stainless-Runtime-Version, X-Stainless-Retry-Count, "
    b"X-Stainless-Timeout, X-Stainless-Helper-Method, X-Stainless-Poll-Helper, X-Stainless-Async, X-Stainless-Read-Timeout, HTTP-Referer, X-Title, "
    b"Idempotency-Key, X-Test-Scenario"
)
_EXPOSED: Final = (
    b"X-Request-Id, Retry-After, Retry-After-Ms, X-Should-Retry, X-RateLimit-Limit-Requests, X-RateLimit-Limit-Tokens, X-RateLimit-Remaining-Requests, "
    b"X-RateLimit-Remaining-Tokens, X-RateLimit-Reset-Requests, X-RateLimit-Reset-Tokens, OpenAI-Processing-Ms, Request-Id, "
    b"Anthropic-RateLimit-Requests-Limit, Anthropic-RateLimit-Requests-Remaining, Anthropic-RateLimit-Requests-Reset, Anthropic-RateLimit-Tokens-Limit, "
    b"Anthropic-RateLimit-Tokens-Remaining, Anthropic-RateLimit-Tokens-Reset"
)


class Cors:
    """The configured origins. Without any, no header is ever added and browsers refuse by themselves."""

    def __init__(self, origins: Iterable[str], max_age: float, *, cookies: bool = False) -> None:
        """With *cookies*, pages of these origins may let the browser send theirs along, and read the answers."""
        self.origins = frozenset(origins)
        self._credentials: Headers = [(b"Access-Control-Allow-Credentials", b"true")] if cookies else []
        self._max_age = b"%d" % int(max_age)

    def headers(self, origin: str | None) -> Headers:
        """Return what every answer carries, also an error: else a browser hides its reason from the page."""
        if not self.origins:
            return []
        vary = (b"Vary", b"Origin")
        if origin is None or origin not in self.origins:
            return [vary]
        allowed = (b"Access-Control-Allow-Origin", origin.encode())
        return [vary, allowed, *self._credentials, (b"Access-Control-Expose-Headers", _EXPOSED)]

    def preflight(self, origin: str | None, wanted: str | None) -> Headers | None:
        """Return the headers of the answer to a preflight; None if the request is not one, or not ours to allow."""
        if origin is None or wanted is None or origin not in self.origins:
            return None
        return [
            (b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
            (b"Access-Control-Allow-Origin", origin.encode()),
            *self._credentials,
            (b"Access-Control-Allow-Methods", _METHODS),
            (b"Access-Control-Allow-Headers", _ALLOWED),
            (b"Access-Control-Max-Age", self._max_age),
        ]
