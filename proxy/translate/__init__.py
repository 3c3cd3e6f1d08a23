"""One API's requests and answers in another's words."""

from proxy.translate.base import Back, EventTranslator, Source, Translated, Translator
from proxy.translate.pairs import Translators

__all__ = ["Back", "EventTranslator", "Source", "Translated", "Translator", "Translators"]
