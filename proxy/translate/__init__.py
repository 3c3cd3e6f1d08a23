"""One API's requests and answers in another's words."""

from proxy.translate.base import Back, EventTranslator, Source, Translated, Translator
from proxy.translate.pairs import translator

__all__ = ["Back", "EventTranslator", "Source", "Translated", "Translator", "translator"]
