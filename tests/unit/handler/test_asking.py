"""A request as one target gets it."""

from __future__ import annotations

import pytest

from proxy.dialects import CHAT
from proxy.handler.asking import question, served
from proxy.handler.surface import Match
from proxy.router import Target
from proxy.translate import Back
from proxy.upstream import Outgoing
from tests.support.house import chat, settings
from tests.unit.handler.calling import asked, runtime

URL = "http://127.0.0.1:9"


DEPLOYED = b"/openai/deployments/gpt-test/chat/completions"


async def put(
    target: Target,
    *,
    canonical: bytes = b"",
    path: bytes = b"/v1/chat/completions?a=%2B",
    body: bytes = b"",
    **upstream: str,
) -> tuple[Outgoing, Back | None]:
    body = body or chat(model="gpt-test")
    request = b"POST %b HTTP/1.1\r\nHost: proxy\r\nX-A: 1\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)
    async with asked(request, runtime(settings(URL, upstreams={"a": upstream}))) as it:
        it.call.body = body
        it.call.match = Match("model", "chat", CHAT, api="chat", canonical=canonical)
        it.call.view = CHAT.read_request(body, {"deployment": "gpt-test"} if canonical else {})
        it.call.route = it.call.runtime.router.resolve("gpt-test")
        return question(it.call, it.call.runtime.backends["a"], target)


async def test_a_target_that_speaks_the_api_gets_the_body_as_it_is() -> None:
    out, back = await put(Target("a", "gpt-test"))

    assert back is None
    assert out.body == chat(model="gpt-test")
    assert out.target == b"/v1/chat/completions?a=%2B"
    assert (b"X-A", b"1") in out.headers


async def test_only_the_model_is_another_where_the_target_calls_it_otherwise() -> None:
    out, _ = await put(Target("a", "other/one"))

    assert out.body == chat(model="gpt-test").replace(b"gpt-test", b"other/one")


async def test_a_path_of_another_form_leads_to_where_the_api_itself_has_it() -> None:
    out, _ = await put(Target("a", "gpt-test"), canonical=b"/v1/chat/completions", path=DEPLOYED + b"?x=1&api-version=2024-06-01")

    assert out.target == b"/v1/chat/completions?x=1"
    assert out.body == chat(model="gpt-test")


async def test_a_version_that_is_no_azure_client_s_passes_like_any_parameter() -> None:
    out, _ = await put(Target("a", "gpt-test"), path=b"/v1/chat/completions?api-version=preview")

    assert out.target == b"/v1/chat/completions?api-version=preview"


async def test_a_model_that_only_the_path_names_is_put_into_the_body() -> None:
    out, _ = await put(
        Target("a", "gpt-test"), canonical=b"/v1/chat/completions", path=DEPLOYED, body=b'{"messages":[],"stream":true}'
    )

    assert out.body.startswith(b'{"model":"gpt-test","messages":[],"stream":true')


@pytest.mark.parametrize("body", [b'{"messages":[]}', b'{"model":"anything","messages":[]}'])
async def test_a_body_whose_model_nobody_reads_stays_as_it_is(body: bytes) -> None:
    out, _ = await put(
        Target("a", "mine"),
        canonical=b"/v1/chat/completions",
        path=DEPLOYED + b"?api-version=2024-06-01",
        body=body,
        kind="azure",
    )

    assert out.body == body
    assert out.target == b"/v1/openai/deployments/mine/chat/completions?api-version=2024-06-01"


async def test_a_named_upstream_gets_the_path_that_was_asked_for() -> None:
    async with asked(b"GET /v1/files?a=1 HTTP/1.1\r\nHost: proxy\r\n\r\n", runtime(settings(URL))) as it:
        it.call.match = Match("upstream", "upstream", CHAT)

        out, back = question(it.call, it.call.runtime.backends["a"], Target("a", ""))

    assert (out.target, out.body, back) == (b"/v1/files?a=1", b"", None)


@pytest.mark.parametrize(("api", "answer"), [("chat", True), ("responses", True), ("nobody's", False)])
async def test_a_backend_serves_the_apis_that_it_speaks(api: str, answer: bool) -> None:
    under = runtime(settings(URL))

    assert served(api, under.backends["a"], under.translators) is answer
