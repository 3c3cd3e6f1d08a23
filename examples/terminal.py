"""Asks a chat endpoint with httpx-sse, and Ctrl-C is the button to stop: `LLM_PROXY_KEY=… python terminal.py "On tea"`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from urllib.parse import urljoin

import httpx
from httpx_sse import connect_sse


def ask(message: str, endpoint: str = "http://127.0.0.1:8080/api/v1/chat") -> None:
    """Print an answer as it comes. One that is cut is not asked for again: that is for people to decide, it costs again."""
    headers = {"Authorization": f"Bearer {os.environ['LLM_PROXY_KEY']}"}
    with (
        httpx.Client(headers=headers, timeout=60) as client,
        connect_sse(client, "POST", endpoint, json={"message": message}) as source,
    ):
        if source.response.is_error:
            sys.exit(f"The server has answered {source.response.status_code}: {source.response.read().decode()}")
        stream = urljoin(endpoint, f"/streams/{source.response.headers['X-Request-Id']}")
        signal.signal(signal.SIGINT, lambda *_: httpx.delete(stream, headers=headers))
        with contextlib.suppress(httpx.TransportError):
            for event in source.iter_sse():
                told = json.loads(event.data)
                if event.event == "token":
                    print(told["text"], end="", flush=True)
                elif event.event == "error":
                    sys.exit(f"\n{told['message']}")
                elif event.event == "done":
                    return
    sys.exit("\nThe connection was lost before the end of the answer.")


if __name__ == "__main__":
    ask(*sys.argv[1:])
