"""Runs the simulated backend alone, for `llm-proxy simulate`."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Final, Protocol

from proxy.simulator.scenarios import HEADER, SCENARIOS
from proxy.simulator.server import Simulator

_REQUEST: Final = '{"model": "demo", "stream": true, "messages": [{"role": "user", "content": "Tell me about reverse proxies"}]}'


class Address(Protocol):
    """Where to listen."""

    @property
    def host(self) -> str:
        """A host name or address."""

    @property
    def port(self) -> int:
        """A port; 0: any that is free."""


def run(address: Address) -> int:
    """Serve on *address* until SIGINT or SIGTERM, and return the exit code."""
    try:
        asyncio.run(_serve(address))
    except OSError as exc:
        print(f"llm-proxy: cannot listen: {exc.strerror}; --listen chooses another address", file=sys.stderr)
        return 1
    return 0


async def _serve(address: Address) -> None:
    simulator = Simulator()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        print(_banner(await simulator.start(address.host, address.port)), flush=True)
        await stop.wait()
    finally:
        await simulator.close()


def _banner(url: str) -> str:
    return (
        f"Simulated LLM backend on {url} (any model name, no key): OpenAI, Azure OpenAI, Anthropic, Gemini, Bedrock\n"
        f"Scenarios, as model demo-<scenario> or in the header {HEADER}: {', '.join(SCENARIOS)}\n"
        f"Try: curl -N {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{_REQUEST}'"
    )
