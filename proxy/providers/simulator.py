"""The simulated backend: every API that it imitates, at the path that the API itself has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy import settings
from proxy.providers.anthropic import Anthropic
from proxy.providers.base import Asked, Provider, Refusal
from proxy.providers.bedrock import Bedrock
from proxy.providers.gemini import Gemini
from proxy.providers.openai import OpenAi

_VERSION: Final = b"/v1"  # below which OpenAI's paths stand


class Simulator(Provider):
    """Has no account of its own; is asked, and refuses, as the backend whose API it is asked in."""

    speaks = OpenAi.speaks | Anthropic.speaks | Gemini.speaks | Bedrock.speaks
    defaults = Anthropic.defaults

    def __init__(self, config: settings.Upstream, base: bytes) -> None:
        super().__init__(config, base)
        self._kinds = (OpenAi(config, _VERSION), Anthropic(config, b""), Gemini(config, b""), Bedrock(config, b""))
        self._of_api: Mapping[str, Provider] = {api: kind for kind in reversed(self._kinds) for api in kind.speaks}

    def target(self, asked: Asked) -> bytes:
        return self._of_api[asked.api].target(asked)

    def reads_model(self, api: str) -> bool:
        return self._of_api[api].reads_model(api)

    def credential(self, key: str) -> tuple[tuple[bytes, bytes], ...]:
        return ()

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> Refusal:
        """Judge as whichever kind finds that money is spent, which each tells in a place of its own; else by the status."""
        judged = [kind.refusal(status, headers, body) for kind in self._kinds]
        return next((refusal for refusal in judged if refusal.reason == "spend_limit"), judged[0])
