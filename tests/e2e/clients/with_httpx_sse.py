"""Uses of httpx-sse, a plain reader of event streams, with OpenAI's chat API: `python -m tests.e2e.clients.with_httpx_sse`."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from tests.e2e.clients.using import BOTH, TEA, TOOLS, Asked, serve


async def _chunks(asked: Asked, content: str, **more: Any) -> AsyncIterator[Any]:
    """Iterate over the data of the events, to `[DONE]`; a stream without it is no answer."""
    body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": content}], **more}
    headers = {**asked.headers, "Authorization": f"Bearer {asked.key}"}
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(5, read=0.5)) as client,
        aconnect_sse(client, "POST", f"{asked.url}/v1/chat/completions", json=body, headers=headers) as source,
    ):
        source.response.raise_for_status()
        async for event in source.aiter_sse():
            if event.data == "[DONE]":
                return
            yield json.loads(event.data)
    raise EOFError("no [DONE]")


async def text(asked: Asked) -> dict[str, Any]:
    """Read the streamed text, with the time of each piece."""
    pieces, times = [], []
    async for chunk in _chunks(asked, TEA):
        if "error" in chunk:
            raise RuntimeError(chunk["error"]["code"])
        if piece := chunk["choices"][0]["delta"].get("content"):
            pieces.append(piece)
            times.append(time.monotonic())
    return {"text": "".join(pieces), "times": times}


async def tools(asked: Asked) -> dict[str, Any]:
    """Put streamed tool calls together by their index."""
    calls: dict[int, list[str]] = {}
    finish = None
    async for chunk in _chunks(asked, BOTH, tools=TOOLS):
        (choice,) = chunk["choices"]
        finish = choice["finish_reason"] or finish
        for delta in choice["delta"].get("tool_calls", []):
            name, arguments = calls.get(delta["index"], ["", ""])
            told = delta["function"]
            calls[delta["index"]] = [name + told.get("name", ""), arguments + told.get("arguments", "")]
    return {"calls": [[name, list(json.loads(arguments))] for name, arguments in calls.values()], "finish": finish}


if __name__ == "__main__":
    serve({"text": text, "tools": tools})
