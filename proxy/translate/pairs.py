"""The pairs of APIs that can be translated; for one source the first target that an upstream speaks is taken."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from proxy.translate.base import Translator

TRANSLATORS: Final[tuple[Translator, ...]] = ()


def translator(source: str, apis: Collection[str]) -> Translator | None:
    """Return how a request of the API *source* can be asked of an upstream that speaks *apis*; None: not at all."""
    return next((each for each in TRANSLATORS if each.source == source and each.target in apis), None)
