"""The pairs of APIs that can be translated; for one source the first target that an upstream speaks is taken.

What no pair leads to is reached by way of chat, which most APIs translate into and from.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Final

from proxy.translate.base import Translator
from proxy.translate.chain import Chain

TRANSLATORS: Final[tuple[Translator, ...]] = ()
MIDDLE: Final = "chat"


def translator(source: str, apis: Collection[str]) -> Translator | None:
    """Return how a request of the API *source* can be asked of an upstream that speaks *apis*; None: not at all."""
    return _found(source, frozenset(apis))


@cache
def _found(source: str, apis: frozenset[str]) -> Translator | None:
    direct = _first(source, apis)
    if direct is not None or source == MIDDLE:
        return direct
    near, far = _first(source, frozenset({MIDDLE})), _first(MIDDLE, apis)
    return None if near is None or far is None else Chain(near, far)


def _first(source: str, apis: frozenset[str]) -> Translator | None:
    return next((each for each in TRANSLATORS if each.source == source and each.target in apis), None)
