"""`GET /v1/models` and its like: the configured public names, and what the upstreams behind patterns list themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from proxy.auth import Principal
from proxy.dialects import GEMINI, MESSAGES, PLAIN
from proxy.dialects.base import Dialect
from proxy.dialects.openai import read_json
from proxy.downstream import Request, Sent
from proxy.errors import (
    ModelNotFound,
    ProxyError,
    UpstreamCredentials,
    UpstreamError,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTruncated,
)
from proxy.exchange import Phase
from proxy.handler.call import Call
from proxy.handler.listing import (
    Entry,
    anthropic_entry,
    anthropic_list,
    gemini_entry,
    gemini_list,
    id_of,
    openai_entry,
    openai_list,
)
from proxy.handler.pages import answer_json
from proxy.providers import Asked
from proxy.tasks import Tasks
from proxy.upstream import Backend, BodyEnd, BodyReader, Outgoing, ResponseHead

LIST_LIMIT: Final = 8 * 1024 * 1024
LIST_TIMEOUT: Final = 5.0

_CLEAN: Final = (BodyEnd.COMPLETE, BodyEnd.CLOSED)
_NO_LIST: Final = (404, 405, 501)  # an upstream that has none
_WORDS: Final[Mapping[Dialect, tuple[Callable[[Iterable[Entry]], dict[str, Any]], Callable[[Entry], Entry]]]] = {
    MESSAGES: (anthropic_list, anthropic_entry),
    GEMINI: (gemini_list, gemini_entry),
}


class _Patience:
    """Waits for one listing; the time limit is around the whole of it."""

    async def wait(self, work: asyncio.Future[Any], phase: Phase) -> Any:
        return await work

    def began_dialing(self) -> tuple[float, float]:
        return 0.0, LIST_TIMEOUT

    def waited(self, began: float) -> None:
        return None


def dialect(request: Request, asked_for: Dialect) -> Dialect:
    """Return in whose words the list is told, and what goes wrong with it; *asked_for* is what the path says.

    `/v1/models` is asked for by the clients of three makers: Anthropic's name its version, Google's have a header for the key.
    """
    if asked_for is GEMINI or request.header(b"x-goog-api-key") is not None:
        return GEMINI
    return MESSAGES if request.header(b"anthropic-version") is not None else PLAIN


async def models(call: Call, wanted: bytes, tasks: Tasks) -> Sent:
    """Answer with the list, or with one model of it.

    Raises what failed where that may be why there is nothing to tell: an empty list would say that all is well.
    """
    entries, failures = await _entries(call, tasks)
    tell_all, tell = _WORDS.get(call.dialect, (openai_list, openai_entry))
    if not wanted:
        if failures and not entries:
            raise next(iter(failures.values()))
        return answer_json(call, 200, tell_all(entries.values()))
    name = unquote(wanted.decode("latin-1"))
    if name not in entries:
        raise _missing(call, name, failures)
    return answer_json(call, 200, tell(entries[name]))


def _missing(call: Call, name: str, failures: dict[str, ProxyError]) -> ProxyError:
    """Return why a model is not listed: its upstream may know it, and has failed."""
    assert call.principal is not None
    if call.principal.may_use(name):
        for upstream, failure in failures.items():
            if call.runtime.router.leads_to(name, upstream):
                return failure
    return ModelNotFound()


async def _entries(call: Call, tasks: Tasks) -> tuple[dict[str, dict[str, Any]], dict[str, ProxyError]]:
    """Return all models that the caller may use, and which upstreams could not be asked for theirs."""
    principal = call.principal
    assert principal is not None
    runtime = call.runtime
    entries = {name: _entry(name) for name in runtime.router.public_names() if principal.may_use(name)}
    failures: dict[str, ProxyError] = {}
    backends = [runtime.backends[name] for name in runtime.router.pattern_upstreams()]
    backends = [backend for backend in backends if "models" in backend.provider.apis]
    listings = [
        tasks.spawn(_listing(backend, call.exchange.request_id), name=f"models of {backend.name}") for backend in backends
    ]
    try:
        for backend, listing in zip(backends, await asyncio.gather(*listings), strict=True):
            if isinstance(listing, ProxyError):
                failures[backend.name] = listing
            else:
                entries.update(_public(call, backend, principal, listing, entries))
    finally:
        for task in listings:
            task.cancel()
    return entries, failures


def _public(
    call: Call, backend: Backend, principal: Principal, listing: Iterable[Any], known: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return those listed models that a request would reach at this very upstream under that very name."""
    found: dict[str, dict[str, Any]] = {}
    for entry in listing:
        name = id_of(entry) if isinstance(entry, dict) else None
        if (
            name is not None
            and name not in known
            and principal.may_use(name)
            and call.runtime.router.leads_to(name, backend.name)
        ):
            found[name] = entry
    return found


def _entry(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "llm-stream-proxy"}


async def _listing(backend: Backend, request_id: str) -> list[Any] | ProxyError:
    """Return an upstream's own list, or why there is none: one that fails does not spoil the others' lists."""
    try:
        async with asyncio.timeout(LIST_TIMEOUT):
            wanted = Outgoing(
                method=b"GET", target=backend.provider.target(Asked("models", b"/v1/models")), headers=(), request_id=request_id
            )
            upstream = await backend.pool.open(backend.request(wanted), _Patience())
            try:
                reader = BodyReader(LIST_LIMIT)
                upstream.attach(reader)
                return _listed(backend, upstream.head, reader.body if await reader.end in _CLEAN else None)
            finally:
                upstream.close()
    except ProxyError as failure:
        return failure
    except TimeoutError:
        return UpstreamTimeout(f"no list of models within {LIST_TIMEOUT:g}s")


def _listed(backend: Backend, head: ResponseHead, body: bytes | bytearray | None) -> list[Any]:
    """Return what stands in a list; None for a *body* that broke off. Raises UpstreamError for what is no list."""
    if head.status in _NO_LIST:
        return []
    if body is None:
        raise UpstreamTruncated("the list of models broke off")
    if backend.provider.refusal(head.status, head.fields, bytes(body)).reason == "credentials":
        raise UpstreamCredentials(f"status {head.status} from {backend.name}")
    if head.status != 200:
        raise UpstreamError(f"status {head.status} for the list of models")
    answer = read_json(bytes(body))
    data = answer.get("data", answer.get("models")) if answer else None  # the second is Google's word
    if not isinstance(data, list):
        raise UpstreamMalformed("the list of models is none")
    return data
