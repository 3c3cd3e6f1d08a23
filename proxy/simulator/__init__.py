"""The simulated backend: a real HTTP server with a scripted LLM behind it, for demos and tests."""

from __future__ import annotations

from proxy.simulator.alone import run
from proxy.simulator.server import Simulator

__all__ = ["Simulator", "run"]
