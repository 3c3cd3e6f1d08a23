"""What scripted upstreams answer and tests ask for: the events of each API as bytes, a request in one call, and a clock to go by."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from proxy.exchange import Phase
from proxy.settings import Settings
from proxy.streaming import Stream
from tests.support.client import RawClient, Response
from tests.support.house import BEARER, CHAT, FAR, House, chat, settings
from tests.support.upstream import DONE, Gate, Upstream, stream
from tests.support.wire import WITHIN

COMPLETIONS: Final = "/v1/completions"
RESPONSES: Final = "/v1/responses"
KEEPALIVE: Final = b": keepalive\n\n"
METRONOME: Final = "metronome"
CLOCKS: Final = {
    "commit_after": FAR,
    "keepalive_interval": "40ms",
    "attempt_timeout": FAR,
    "first_token_timeout": FAR,
    "response_timeout": FAR,
    "idle_timeout": FAR,
    "content_timeout": FAR,
}


def sse(data: object, name: str = "") -> bytes:
    """Return one event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def delta(finish: str | None = None, **fields: Any) -> bytes:
    """Return one chunk of a chat completion."""
    return sse({"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]})


def numbered(kind: str, number: int, **more: Any) -> bytes:
    """Return one event of a response."""
    return sse({"type": kind, "sequence_number": number, **more}, name=kind)


TOKEN: Final = delta(content="Hi")
ROLE: Final = delta(role="assistant", content="")
FINISH: Final = delta("stop")
USAGE: Final = sse({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}})
ERROR_EVENT: Final = sse({"error": {"message": "overloaded", "type": "server_error", "code": "overloaded_error"}})

CREATED: Final = numbered("response.created", 0, response={"id": "resp_1", "status": "in_progress", "output": []})
TEXT_DELTA: Final = numbered("response.output_text.delta", 4, delta="Hi")
COMPLETED: Final = numbered("response.completed", 5, response={"id": "resp_1", "status": "completed", "output": []})


def quick(
    *urls: str, streaming: dict[str, Any] | None = None, of_model: dict[str, Any] | None = None, **changes: Any
) -> Settings:
    """Return settings with a keepalive every 40 ms; every other clock is far away unless *streaming* moves it near.

    *of_model* is what the harness's model has of its own. Beside it there is one more model for `intervals_pass`, which
    keeps its frames whatever these say.
    """
    plain = {"keepalive_style": "auto", "keepalive_text": "keepalive", **CLOCKS}
    targets = [{"upstream": chr(ord("a") + index)} for index in range(len(urls))]
    models = [
        {"name": METRONOME, "targets": targets[:1], "streaming": plain},
        {"name": "gpt-*", "targets": targets, "streaming": of_model or {}},
    ]
    return settings(*urls, streaming={**CLOCKS, **(streaming or {})}, models=models, **changes)


async def ask(client: RawClient, path: str = CHAT, *, version: str = "1.1", **fields: Any) -> Response:
    """Ask for a stream (or with `stream=False` for a whole answer) and return the response when its head is in."""
    return await client.request("POST", path, BEARER, chat(**fields), version=version)


async def send(client: RawClient, path: str = CHAT, **fields: Any) -> None:
    """Ask for a stream and do not wait for the response."""
    await client.send_request("POST", path, BEARER, chat(**fields))


async def intervals_pass(house: House, upstream: Upstream, count: int = 3) -> None:
    """Return when another stream, opened now, has had *count* keepalives: each stream was looked at in each interval.

    So a test need not sleep to see that something does not happen. *upstream* is the first one, and idle in its script.
    """
    gate = f"{METRONOME} {len(upstream.requests)}"
    upstream.script(stream(TOKEN, Gate(gate), FINISH, DONE))
    async with house.client() as client:
        response = await ask(client, model=METRONOME)
        await response.read_until(TOKEN + KEEPALIVE * count)
        upstream.open(gate)
        await response.read()


async def only_record(house: House) -> dict[str, Any]:
    """Return the record of the only request; fails if it was written or counted more than once, or with two outcomes."""
    record, *more = await house.records()
    assert not more
    assert await house.metric("llm_proxy_requests_total") == 1
    assert await house.metric("llm_proxy_requests_total", outcome=record["outcome"]) == 1
    return record


def streams(house: House) -> list[Stream]:
    """Return the streams that the proxy serves at this moment."""
    return [member for member in house.server.ticker if isinstance(member, Stream)]


def phase_of(house: House) -> Phase | None:
    """Return what the only request in flight waits for."""
    return next((call.exchange.phase for call in house.server.lifecycle.in_flight), None)


async def until(ready: Callable[[], bool], within: float = WITHIN, *, pause: float = 0) -> None:
    """Wait for a change inside the proxy, which rings no bell.

    With a *pause*, in seconds, for what a thread does: the loop would hold the interpreter's lock against it all the time.
    """
    async with asyncio.timeout(within):
        while not ready():  # noqa: ASYNC110 - see above
            await asyncio.sleep(pause)


async def at_rest(count: Callable[[], int]) -> int:
    """Wait until *count* does not change any more, and return it."""
    before = -1
    while before != (now := count()):
        before = now
        await asyncio.sleep(0.1)
    return now
