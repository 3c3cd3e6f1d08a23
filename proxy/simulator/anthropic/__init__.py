"""The Anthropic dialect of the simulated backend: messages and the counting of their tokens."""

from __future__ import annotations

from typing import Final

from proxy.simulator.anthropic.common import DIALECT
from proxy.simulator.anthropic.messages import read_count, read_messages
from proxy.simulator.dialect import Route

ROUTES: Final = (
    Route("POST", "/v1/messages", DIALECT, read_messages),
    Route("POST", "/v1/messages/count_tokens", DIALECT, read_count),
)

__all__ = ["DIALECT", "ROUTES"]
