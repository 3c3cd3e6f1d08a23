"""`GET /v1/models`: the configured public names, and what the upstreams behind patterns list themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

import orjson

from proxy.auth import Principal
from proxy.dialects import MESSAGES, PLAIN
from proxy.dialects.base import Dialect
from proxy.downstream import Sent
from proxy.errors import ModelNotFound, ProxyError
from proxy.exchange import Phase
from proxy.handler.call import Call
from proxy.handler.listing import anthropic_entry, anthropic_list, openai_entry, openai_list
from proxy.handler.pages import answer_json
from proxy.providers import Asked
from proxy.tasks import Tasks
from proxy.upstream import Backend, BodyEnd, BodyReader, Outgoing

LIST_LIMIT: Final = 8 * 1024 * 1024
LIST_TIMEOUT: Final = 5.0


class _Patience:
    """Waits for one listing; the time limit is around the whole of it."""

    async def wait(self, work: asyncio.Future[Any], phase: Phase) -> Any:
        return await work

    def began_dialing(self) -> float:
        return 0.0

    def dialed(self, began: float) -> None:
        return None


def dialect(call: Call) -> Dialect:
    """Return in whose words the list is told, and what goes wrong with it: a client of Anthropic's names its version."""
    return MESSAGES if "anthropic-version" in call.request.headers else PLAIN


async def models(call: Call, wanted: bytes, tasks: Tasks) -> Sent:
    """Answer with the list, or with one model of it."""
    entries = await _entries(call, tasks)
    tell_all, tell = (anthropic_list, anthropic_entry) if call.dialect is MESSAGES else (openai_list, openai_entry)
    if not wanted:
        return answer_json(call, 200, tell_all(entries.values()))
    name = unquote(wanted.decode("latin-1"))
    if name not in entries:
        raise ModelNotFound
    return answer_json(call, 200, tell(entries[name]))


async def _entries(call: Call, tasks: Tasks) -> dict[str, dict[str, Any]]:
    principal = call.principal
    assert principal is not None
    runtime = call.runtime
    entries = {name: _entry(name) for name in runtime.router.public_names() if principal.may_use(name)}
    backends = [runtime.backends[name] for name in runtime.router.pattern_upstreams()]
    backends = [backend for backend in backends if "models" in backend.provider.apis]
    listings = [
        tasks.spawn(_listing(backend, call.exchange.request_id), name=f"models of {backend.name}") for backend in backends
    ]
    try:
        for backend, listing in zip(backends, await asyncio.gather(*listings), strict=True):
            entries.update(_public(call, backend, principal, listing, entries))
    finally:
        for task in listings:
            task.cancel()
    return entries


def _public(
    call: Call, backend: Backend, principal: Principal, listing: Iterable[Any], known: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return those listed models that a request would reach at this very upstream under that very name."""
    found: dict[str, dict[str, Any]] = {}
    for entry in listing:
        name = entry.get("id") if isinstance(entry, dict) else None
        if (
            isinstance(name, str)
            and name not in known
            and principal.may_use(name)
            and call.runtime.router.leads_to(name, backend.name)
        ):
            found[name] = entry
    return found


def _entry(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "llm-stream-proxy"}


async def _listing(backend: Backend, request_id: str) -> list[Any]:
    """Return an upstream's own list; empty when it fails, for the others' sake."""
    try:
        async with asyncio.timeout(LIST_TIMEOUT):
            wanted = Outgoing(
                method=b"GET", target=backend.provider.target(Asked("models", b"/v1/models")), headers=(), request_id=request_id
            )
            upstream = await backend.pool.open(backend.request(wanted), _Patience())
            try:
                reader = BodyReader(LIST_LIMIT)
                upstream.attach(reader)
                end = await reader.end
            finally:
                upstream.close()
        answer = orjson.loads(reader.body) if end is not BodyEnd.CUT and upstream.head.status == 200 else {}
    except (ProxyError, TimeoutError, orjson.JSONDecodeError):
        return []
    data = answer.get("data") if isinstance(answer, dict) else None
    return data if isinstance(data, list) else []
