"""Uses of LangChain's chat models: `python -m tests.e2e.clients.with_langchain openai` or `… anthropic`."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from tests.e2e.clients.using import BOTH, TEA, TOOLS, Asked, serve

API: Final = sys.argv[1]


def _model(asked: Asked) -> BaseChatModel:
    shared: dict[str, Any] = {"api_key": asked.key, "max_retries": 0, "default_headers": asked.headers}
    if API == "openai":
        return ChatOpenAI(model="demo", base_url=f"{asked.url}/v1", **shared)
    return ChatAnthropic(model_name="claude-x", base_url=asked.url, max_tokens_to_sample=999, **shared)


async def text(asked: Asked) -> dict[str, Any]:
    """Read the streamed text, with the time of each piece."""
    pieces, times = [], []
    async for chunk in _model(asked).astream(TEA):
        if piece := chunk.text:
            pieces.append(piece)
            times.append(time.monotonic())
    return {"text": "".join(pieces), "times": times}


async def tools(asked: Asked) -> dict[str, Any]:
    """Put streamed tool calls together, as LangChain does it: by adding the chunks up."""
    chunks = [chunk async for chunk in _model(asked).bind_tools(TOOLS).astream(BOTH)]
    message = chunks[0]
    for chunk in chunks[1:]:
        message += chunk
    finish = message.response_metadata.get("finish_reason") or message.response_metadata.get("stop_reason")
    return {"calls": [[call["name"], list(call["args"])] for call in message.tool_calls], "finish": finish}


if __name__ == "__main__":
    serve({"text": text, "tools": tools})
