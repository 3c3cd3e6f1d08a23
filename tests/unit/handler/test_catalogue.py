"""The list of models: what is configured, and what upstreams behind patterns say themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from proxy.auth import Principal
from proxy.dialects import GEMINI, MESSAGES, PLAIN
from proxy.errors import (
    ModelNotFound,
    UpstreamCredentials,
    UpstreamError,
    UpstreamMalformed,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTruncated,
)
from proxy.handler import catalogue
from proxy.settings import Settings
from proxy.tasks import Tasks
from tests.support.house import settings
from tests.support.upstream import Fin, Hang, Reply, Rst, Upstream, answer, closed_port, stream, verbatim
from tests.unit.downstream.listening import GET
from tests.unit.handler.calling import Asked, asked, principal, runtime

MODELS = [
    {"name": "o1", "targets": [{"upstream": "a"}]},
    {"name": "gpt-alias", "targets": [{"upstream": "a", "model": "real-name"}]},
    {"name": "gpt-*", "targets": [{"upstream": "a"}, {"upstream": "b"}]},
    {"name": "free/*", "targets": [{"upstream": "b", "model": "vendor/{model}"}]},
]


@pytest.fixture
async def first() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def second() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    """The house's tasks: whatever a list begins, it ends."""
    tasks = Tasks()
    yield tasks
    assert not len(tasks)


def configured(*upstreams: Upstream, models: list[dict[str, Any]] | None = None) -> Settings:
    return settings(*(upstream.url for upstream in upstreams), models=MODELS if models is None else models)


def entry(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "owned_by": "vendor", "context": 128_000}


def listed(*names: str) -> Reply:
    return answer({"object": "list", "data": [entry(name) for name in names]})


async def look(it: Asked, tasks: Tasks, wanted: bytes = b"", caller: Principal | None = None) -> Any:
    """Let *caller* ask, and return what is answered."""
    it.call.principal = caller or principal()
    await catalogue.models(it.call, wanted, tasks)
    return orjson.loads(it.body)


def names(answered: Any) -> list[str]:
    return [model["id"] for model in answered["data"]]


async def test_configured_names_come_first_and_then_what_patterns_let_through(
    first: Upstream, second: Upstream, tasks: Tasks
) -> None:
    first.script(listed("gpt-4o", "o3", "gpt-4"))
    second.script(listed("gpt-oss"))
    async with asked(under=runtime(configured(first, second))) as it:
        answered = await look(it, tasks)

        assert answered["object"] == "list"
        assert names(answered) == ["o1", "gpt-alias", "gpt-4o", "gpt-4", "gpt-oss"]
        assert it.call.exchange.status == 200


async def test_entry_is_the_upstreams_own_and_a_configured_one_is_ours(first: Upstream, tasks: Tasks) -> None:
    first.script(listed("gpt-4o", "gpt-alias"))
    async with asked(
        under=runtime(configured(first, models=[MODELS[1], {"name": "gpt-*", "targets": [{"upstream": "a"}]}]))
    ) as it:
        answered = await look(it, tasks)

        ours, theirs = answered["data"]
        assert ours == {"id": "gpt-alias", "object": "model", "created": 0, "owned_by": "llm-stream-proxy"}
        assert theirs == entry("gpt-4o")


async def test_model_of_two_upstreams_is_listed_once_as_the_first_says_it(
    first: Upstream, second: Upstream, tasks: Tasks
) -> None:
    first.script(listed("gpt-4o"))
    second.script(answer({"data": [{"id": "gpt-4o", "owned_by": "somebody else"}]}))
    async with asked(under=runtime(configured(first, second, models=[MODELS[2]]))) as it:
        answered = await look(it, tasks)

        assert answered["data"] == [entry("gpt-4o")]


@pytest.mark.parametrize("name", ["real-name", "vendor/free/x", "free/x", "o3", "GPT-4o"])
async def test_name_that_would_not_lead_to_its_upstream_is_not_listed(
    first: Upstream, second: Upstream, tasks: Tasks, name: str
) -> None:
    first.script(listed(name))
    second.script(listed(name))
    async with asked(under=runtime(configured(first, second))) as it:
        answered = await look(it, tasks)

        assert names(answered) == ["o1", "gpt-alias"]


@pytest.mark.parametrize(
    ("allowed", "visible"),
    [
        (("*",), ["o1", "gpt-alias", "gpt-4o", "gpt-oss"]),
        (("gpt-*",), ["gpt-alias", "gpt-4o", "gpt-oss"]),
        (("o1", "gpt-oss"), ["o1", "gpt-oss"]),
        (("claude-*",), []),
    ],
)
async def test_caller_sees_only_what_they_may_use(
    first: Upstream, second: Upstream, tasks: Tasks, allowed: tuple[str, ...], visible: list[str]
) -> None:
    first.script(listed("gpt-4o"))
    second.script(listed("gpt-oss"))
    async with asked(under=runtime(configured(first, second))) as it:
        answered = await look(it, tasks, caller=principal(*allowed))

        assert names(answered) == visible


async def test_upstream_that_no_pattern_leads_to_is_not_asked(first: Upstream, second: Upstream, tasks: Tasks) -> None:
    second.script(listed())
    models = [MODELS[0], {"name": "free-*", "targets": [{"upstream": "b"}]}]
    async with asked(under=runtime(configured(first, second, models=models))) as it:
        await look(it, tasks)

        assert len(second.requests) == 1
        assert not first.connections


async def test_upstream_is_asked_with_its_own_credential_and_nothing_of_the_clients(first: Upstream, tasks: Tasks) -> None:
    first.script(listed())
    request = b"GET /v1/models?after=x HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer mine\r\nX-Mine: 1\r\nCookie: a=b\r\n\r\n"
    async with asked(
        request, runtime(configured(first, models=[MODELS[0], {"name": "*", "targets": [{"upstream": "a"}]}]))
    ) as it:
        await look(it, tasks)

        seen = await first.request()
        assert (seen.method, seen.target, seen.header("authorization")) == ("GET", b"/v1/models", "Bearer sk-upstream-a")
        assert seen.header("x-request-id") == "r1"
        assert b"mine" not in seen.head.raw.lower()
        assert b"cookie" not in seen.head.raw.lower()


@pytest.mark.parametrize(
    "reply",
    [
        answer({"error": "busy"}, 503),
        answer({"data": [entry("gpt-hidden")]}, 203),
        answer(b"<html>"),
        answer([1]),
        answer({"data": {"id": "gpt-odd"}}),
        answer({"data": [None, 7, "gpt-odd", {"id": 7}, {"name": "gpt-odd"}]}),
        answer(b""),
        Reply(
            headers=[("Content-Type", "application/json")],
            body=[b'{"data": [{"id": "gpt-cut"}]}', Fin()],
            framing="length",
            length=99,
        ),
        verbatim(Fin()),
        verbatim(Rst()),
        verbatim(b"SSH-2.0\r\n\r\n", Hang()),
        stream(b'{"data": []}', Rst()),
    ],
    ids=["503", "203", "HTML", "list", "odd data", "odd entries", "empty", "cut", "FIN", "RST", "not HTTP", "reset"],
)
async def test_failing_upstream_leaves_the_rest_of_the_list(
    first: Upstream, second: Upstream, tasks: Tasks, reply: Reply
) -> None:
    first.script(reply)
    second.script(listed("gpt-oss"))
    async with asked(under=runtime(configured(first, second))) as it:
        answered = await look(it, tasks)

        assert names(answered) == ["o1", "gpt-alias", "gpt-oss"]


async def test_upstream_that_cannot_be_reached_leaves_the_rest_of_the_list(first: Upstream, tasks: Tasks) -> None:
    first.script(listed("gpt-oss"))
    with closed_port() as port:
        built = runtime(settings(f"http://127.0.0.1:{port}", first.url, models=MODELS))
        async with asked(under=built) as it:
            answered = await look(it, tasks)

            assert names(answered) == ["o1", "gpt-alias", "gpt-oss"]


ALL: list[dict[str, Any]] = [{"name": "*", "targets": [{"upstream": "a"}]}]


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (answer({"error": {"message": "Incorrect API key provided"}}, 401), UpstreamCredentials),
        (answer({"error": "busy"}, 503), UpstreamError),
        (answer(b"<html>"), UpstreamMalformed),
        (answer([1]), UpstreamMalformed),
        (verbatim(Rst()), UpstreamReset),
        (stream(b'{"data": []}', Rst()), UpstreamTruncated),
        (stream(Hang()), UpstreamTimeout),
    ],
    ids=["401", "503", "HTML", "list", "RST", "reset", "silent"],
)
@pytest.mark.parametrize("wanted", [b"", b"gpt-4o"], ids=["all", "one"])
async def test_failure_that_leaves_nothing_to_tell_is_told(
    first: Upstream, tasks: Tasks, monkeypatch: pytest.MonkeyPatch, reply: Reply, failure: type[Exception], wanted: bytes
) -> None:
    """An empty list would say that all is well: the newcomer's key may be wrong."""
    monkeypatch.setattr(catalogue, "LIST_TIMEOUT", 0.3)
    first.script(reply)
    async with asked(under=runtime(configured(first, models=ALL))) as it:
        with pytest.raises(failure):
            await look(it, tasks, wanted)

        assert it.sent == b""


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_upstream_without_a_list_has_not_failed(first: Upstream, tasks: Tasks, status: int) -> None:
    first.script(answer({"detail": "Not Found"}, status))
    async with asked(under=runtime(configured(first, models=ALL))) as it:
        answered = await look(it, tasks)

        assert answered == {"object": "list", "data": []}


@pytest.mark.parametrize(("wanted", "allowed"), [(b"gpt-4o", ("o1",)), (b"free/x", ("*",)), (b"o7", ("*",))])
async def test_failure_of_an_upstream_that_a_model_does_not_lead_to_is_not_why_it_is_missing(
    first: Upstream, second: Upstream, tasks: Tasks, wanted: bytes, allowed: tuple[str, ...]
) -> None:
    first.script(verbatim(Rst()))
    second.script(listed())
    async with asked(under=runtime(configured(first, second))) as it:
        with pytest.raises(ModelNotFound):
            await look(it, tasks, wanted, principal(*allowed))


async def test_upstream_that_says_nothing_is_not_waited_for(
    first: Upstream, second: Upstream, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "LIST_TIMEOUT", 0.1)
    first.script(stream(Hang()))
    second.script(listed("gpt-oss"))
    async with asked(under=runtime(configured(first, second))) as it:
        answered = await look(it, tasks)

        assert names(answered) == ["o1", "gpt-alias", "gpt-oss"]
        await first.closed()


async def test_list_without_an_end_is_given_up_at_its_limit(
    first: Upstream, second: Upstream, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "LIST_LIMIT", 1024)
    first.script(listed(*(f"gpt-{number}" for number in range(99))))
    second.script(listed("gpt-oss"))
    async with asked(under=runtime(configured(first, second))) as it:
        answered = await look(it, tasks)

        assert names(answered) == ["o1", "gpt-alias", "gpt-oss"]


async def test_asking_ends_with_the_request(first: Upstream, second: Upstream, tasks: Tasks) -> None:
    first.script(stream(Hang()))
    second.script(stream(Hang()))
    own = Tasks()
    async with asked(under=runtime(configured(first, second))) as it:
        request = own.spawn(look(it, tasks), name="request")
        await first.request()
        await second.request()

        await own.close()

        assert request.cancelled()
        await first.closed()
        await second.closed()


# In whose words.


CLAUDE = {"type": "model", "id": "claude-x", "display_name": "Claude X", "created_at": "2025-11-21T08:00:00Z"}
VERSION = GET.replace(b"\r\n\r\n", b"\r\nAnthropic-Version: 2023-06-01\r\n\r\n")


async def told(it: Asked, tasks: Tasks, wanted: bytes = b"") -> Any:
    """Let the call choose its dialect as the handler does."""
    it.call.dialect = catalogue.dialect(it.call.request, PLAIN)
    return await look(it, tasks, wanted)


def of_both(first: Upstream, second: Upstream) -> Settings:
    models = [{"name": "claude-*", "targets": [{"upstream": "a"}]}, {"name": "gpt-*", "targets": [{"upstream": "b"}]}]
    return settings(first.url, second.url, models=models, upstreams={"a": {"kind": "anthropic"}})


async def test_client_of_openai_s_reads_every_model_in_its_words(first: Upstream, second: Upstream, tasks: Tasks) -> None:
    first.script(answer({"data": [CLAUDE], "has_more": False}))
    second.script(listed("gpt-4o"))
    async with asked(under=runtime(of_both(first, second))) as it:
        answered = await told(it, tasks)

        assert it.call.dialect is PLAIN
        assert answered["object"] == "list"
        assert [(model["id"], model["object"]) for model in answered["data"]] == [("claude-x", "model"), ("gpt-4o", "model")]
        seen = await first.request()
        assert (seen.target, seen.header("anthropic-version")) == (b"/v1/models?limit=1000", "2023-06-01")


async def test_client_that_names_a_version_of_anthropic_s_reads_it_in_those(
    first: Upstream, second: Upstream, tasks: Tasks
) -> None:
    first.script(answer({"data": [CLAUDE], "has_more": False}))
    second.script(listed("gpt-4o"))
    async with asked(VERSION, under=runtime(of_both(first, second))) as it:
        answered = await told(it, tasks)

        assert it.call.dialect is MESSAGES
        assert answered["data"][0] == CLAUDE
        assert [(model["id"], model["type"]) for model in answered["data"]] == [("claude-x", "model"), ("gpt-4o", "model")]
        assert (answered["has_more"], answered["first_id"], answered["last_id"]) == (False, "claude-x", "gpt-4o")


GOOGLE = {"name": "models/gemini-x", "displayName": "Gemini X", "inputTokenLimit": 1_048_576}
KEYED = GET.replace(b"\r\n\r\n", b"\r\nX-Goog-Api-Key: k\r\n\r\n")


async def test_client_that_has_google_s_header_for_its_key_reads_it_in_google_s(first: Upstream, tasks: Tasks) -> None:
    first.script(answer({"models": [GOOGLE, {"name": "models/other"}], "nextPageToken": ""}))
    models = [{"name": "gemini-*", "targets": [{"upstream": "a"}]}, MODELS[0]]
    configured_ = settings(first.url, models=models, upstreams={"a": {"kind": "gemini", "base_url": first.url}})
    async with asked(KEYED, under=runtime(configured_)) as it:
        answered = await told(it, tasks)

        assert it.call.dialect is GEMINI
        assert answered["models"] == [
            {"name": "models/o1", "displayName": "o1", "supportedGenerationMethods": ["generateContent", "countTokens"]},
            GOOGLE,
        ]
        seen = await first.request()
        assert (seen.target, seen.header("x-goog-api-key")) == (b"/v1beta/models?pageSize=1000", "sk-upstream-a")


async def test_a_path_of_google_s_is_answered_in_google_s_words(first: Upstream) -> None:
    async with asked(VERSION) as it:
        assert catalogue.dialect(it.call.request, GEMINI) is GEMINI


@pytest.mark.parametrize(("request_", "key"), [(GET, "object"), (VERSION, "type")], ids=["OpenAI", "Anthropic"])
async def test_one_model_is_told_in_the_same_words(
    first: Upstream, second: Upstream, tasks: Tasks, request_: bytes, key: str
) -> None:
    first.script(answer({"data": [CLAUDE]}))
    second.script(listed())
    async with asked(request_, under=runtime(of_both(first, second))) as it:
        answered = await told(it, tasks, b"claude-x")

        assert (answered["id"], answered[key]) == ("claude-x", "model")


# One of them.


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (b"o1", "o1"),
        (b"gpt-4o", "gpt-4o"),
        (b"%6f1", "o1"),
        (b"vendor/m", "vendor/m"),
        (b"vendor%2Fm", "vendor/m"),
        (b"%C3%A9", "é"),
    ],
)
async def test_one_model_is_found_by_its_name_however_it_is_escaped(
    first: Upstream, tasks: Tasks, wanted: bytes, name: str
) -> None:
    first.script(listed("gpt-4o", "vendor/m", "é"))
    models = [MODELS[0], {"name": "*", "targets": [{"upstream": "a"}]}]
    async with asked(under=runtime(configured(first, models=models))) as it:
        answered = await look(it, tasks, wanted)

        assert answered["id"] == name
        assert it.call.exchange.status == 200


@pytest.mark.parametrize(
    ("wanted", "allowed"), [(b"gpt-5", ()), (b"gpt-*", ()), (b"o1/", ()), (b"%256f1", ()), (b"%FF", ()), (b"o1", ("gpt-*",))]
)
async def test_model_that_the_caller_cannot_see_does_not_exist(
    first: Upstream, second: Upstream, tasks: Tasks, wanted: bytes, allowed: tuple[str, ...]
) -> None:
    first.script(listed("gpt-4o"))
    second.script(listed())
    async with asked(under=runtime(configured(first, second))) as it:
        with pytest.raises(ModelNotFound):
            await look(it, tasks, wanted, principal(*allowed))

        assert it.sent == b""
