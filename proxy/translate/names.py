"""Makes tool names and call ids fit a target's patterns, and restores the names in what comes back."""

from __future__ import annotations

import hashlib
import re
from typing import Final

_LETTERS: Final = re.compile(r"[^A-Za-z0-9_-]+")
_KEPT: Final = 40  # letters of a name that are kept, so that a model still sees what the tool is for


class Names:
    """The tool names of one request. The pattern must allow letters, digits, `_` and `-`, 64 of them, behind a letter."""

    __slots__ = ("_clients", "_fits")

    def __init__(self, fits: re.Pattern[str]) -> None:
        self._fits = fits
        self._clients: dict[str, str] = {}

    def there(self, name: str) -> str:
        """Return the target's name for the client's tool *name*: the same one wherever it fits."""
        if self._fits.fullmatch(name):
            return name
        made = f"t_{_LETTERS.sub('_', name)[:_KEPT]}_{_digest(name)}"
        self._clients[made] = name
        return made

    def here(self, name: str) -> str:
        """Return the client's name for the target's tool *name*."""
        return self._clients.get(name, name)


def fitting_id(call: str, fits: re.Pattern[str]) -> str:
    """Return a call's id as it is where it fits, else always the same other one. The pattern must allow `call_` and 16 digits."""
    return call if fits.fullmatch(call) else f"call_{_digest(call)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
