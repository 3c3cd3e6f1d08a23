"""Uses of the LiteLLM client, with the API of OpenAI or of Anthropic: `python -m tests.e2e.clients.with_litellm openai`."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

import litellm

from tests.e2e.clients.using import BOTH, TEA, TOOLS, Asked, serve

MODEL: Final = {"openai": "openai/demo", "anthropic": "anthropic/claude-x"}[sys.argv[1]]
BASE: Final = {"openai": "/v1", "anthropic": ""}[sys.argv[1]]


async def _ask(asked: Asked, content: str, **more: Any) -> Any:
    return await litellm.acompletion(
        model=MODEL,
        messages=[{"role": "user", "content": content}],
        api_base=asked.url + BASE,
        api_key=asked.key,
        extra_headers=asked.headers,
        max_retries=0,
        **more,
    )


async def text(asked: Asked) -> dict[str, Any]:
    """Read the streamed text, with the time of each piece."""
    pieces, times = [], []
    async for chunk in await _ask(asked, TEA, stream=True):
        if piece := chunk.choices[0].delta.content:
            pieces.append(piece)
            times.append(time.monotonic())
    return {"text": "".join(pieces), "times": times}


async def tools(asked: Asked) -> dict[str, Any]:
    """Put streamed tool calls together, as LiteLLM itself does it."""
    chunks = [chunk async for chunk in await _ask(asked, BOTH, stream=True, tools=TOOLS)]
    (choice,) = litellm.stream_chunk_builder(chunks).choices
    calls = [[call.function.name, list(json.loads(call.function.arguments))] for call in choice.message.tool_calls]
    return {"calls": calls, "finish": choice.finish_reason}


if __name__ == "__main__":
    litellm.suppress_debug_info = True  # it would go to standard output
    serve({"text": text, "tools": tools})
