"""The pairs of APIs that can be translated; for one source the first target that an upstream speaks is taken.

What no pair leads to is reached by way of chat, which most APIs translate into and from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from proxy.translate.base import Translator
from proxy.translate.chain import Chain
from proxy.translate.chat_to_converse import ChatToConverse
from proxy.translate.chat_to_gemini import ChatToGemini
from proxy.translate.chat_to_messages import ChatToMessages
from proxy.translate.messages_as_chat import MessagesAsChat
from proxy.translate.messages_as_converse import MessagesAsConverse
from proxy.translate.responses_as_chat import ResponsesAsChat

TRANSLATORS: Final[tuple[Translator, ...]] = (
    ChatToMessages(),
    ChatToConverse(),
    ChatToGemini(),
    MessagesAsChat(),
    MessagesAsConverse(),
    ResponsesAsChat(),
)
MIDDLE: Final = "chat"


class Translators:
    """The known pairs, and *more* that come from the configuration."""

    def __init__(self, more: Iterable[Translator] = ()) -> None:
        self._pairs = (*TRANSLATORS, *more)
        self._found: dict[tuple[str, frozenset[str]], Translator | None] = {}

    def find(self, source: str, apis: Collection[str]) -> Translator | None:
        """Return how a request of the API *source* can be asked of an upstream that speaks *apis*; None: not at all."""
        key = source, frozenset(apis)
        if key not in self._found:
            self._found[key] = self._search(*key)
        return self._found[key]

    def _search(self, source: str, apis: frozenset[str]) -> Translator | None:
        direct = self._first(source, apis)
        if direct is not None or source == MIDDLE:
            return direct
        near, far = self._first(source, frozenset({MIDDLE})), self._first(MIDDLE, apis)
        return None if near is None or far is None else Chain(near, far)

    def _first(self, source: str, apis: frozenset[str]) -> Translator | None:
        return next((each for each in self._pairs if each.source == source and each.target in apis), None)
