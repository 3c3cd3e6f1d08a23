"""The kinds of backend: how each is addressed, and how its refusals read. A new one costs its file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.providers.anthropic import Anthropic
from proxy.providers.azure import Azure, take_version
from proxy.providers.base import Asked, Provider
from proxy.providers.bedrock import Bedrock
from proxy.providers.gemini import Gemini
from proxy.providers.openai import OpenAi
from proxy.providers.simulator import Simulator

__all__ = ["PROVIDERS", "Asked", "Provider", "take_version"]

PROVIDERS: Final[Mapping[str, type[Provider]]] = {
    "openai": OpenAi,
    "anthropic": Anthropic,
    "azure": Azure,
    "bedrock": Bedrock,
    "gemini": Gemini,
    "simulator": Simulator,
}
