"""The simulated backend: every API that it imitates, at the path that the API itself has."""

from __future__ import annotations

from collections.abc import Mapping

from proxy import settings
from proxy.providers.anthropic import Anthropic
from proxy.providers.base import Asked, Refusal
from proxy.providers.openai import OpenAi


class Simulator(OpenAi):
    """Has no base and no account of its own; refuses in the words of whichever API it was asked in."""

    speaks = OpenAi.speaks | Anthropic.speaks
    defaults = Anthropic.defaults

    def __init__(self, config: settings.Upstream, base: bytes) -> None:
        super().__init__(config, base)
        self._anthropic = Anthropic(config, base)

    def target(self, asked: Asked) -> bytes:
        return asked.path + asked.query

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> Refusal:
        found = super().refusal(status, headers, body)
        # the one thing that Anthropic's refusals say in a place where the others' say nothing: that money is spent
        return self._anthropic.refusal(status, headers, body) if found.reason == "rate_limited" else found
