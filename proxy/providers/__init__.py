"""The kinds of backend: how each is addressed, and how its refusals read. A new one costs its file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.providers.base import Provider
from proxy.providers.openai import OpenAi

PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": OpenAi(),
    "simulator": OpenAi(),
}
