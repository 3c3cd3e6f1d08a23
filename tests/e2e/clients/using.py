"""What the programs around Python clients share: reads what is asked, a JSON document a line, and tells what came of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

TEA: Final = "On tea"
BOTH: Final = "Weather and time in both Oslo and Rome?"
PARAMETERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS: Final = [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in ("weather", "clock")]


@dataclass(frozen=True, slots=True)
class Asked:
    """One use of a client: only base URL and key are the proxy's."""

    url: str
    key: str
    scenario: str

    @property
    def headers(self) -> dict[str, str]:
        """What makes the simulated backend play the scenario."""
        return {"X-Test-Scenario": self.scenario}


Use = Callable[[Asked], Awaitable[dict[str, Any]]]


def serve(uses: Mapping[str, Use]) -> None:
    """Answer each line of standard input with one of standard output; all that one line asks is done at once."""
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            print(json.dumps(runner.run(_all(uses, **json.loads(line)))), flush=True)


async def _all(uses: Mapping[str, Use], url: str, key: str, asked: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return await asyncio.gather(*(_told(uses[use], Asked(url, key, scenario)) for use, scenario in asked))


async def _told(use: Use, asked: Asked) -> dict[str, Any]:
    try:
        return await use(asked)
    except Exception as error:  # whatever class the client raises is the finding
        status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
        return {"raised": type(error).__name__, "message": str(error), "status": status}
