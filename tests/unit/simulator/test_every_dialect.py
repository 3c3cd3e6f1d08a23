"""Every scenario in every dialect, seen from a raw socket."""

from __future__ import annotations

import orjson
import pytest

from tests.unit.simulator.apis import ANTHROPIC_VERSION, APIS, Api
from tests.unit.simulator.support import Ask, RawClient, body_of, connected, exchange, request, unchunked

EVERY = pytest.mark.parametrize("api", APIS.values(), ids=APIS.keys())


def is_complete(client: RawClient) -> bool:
    head, _, rest = client.received.partition(b"\r\n\r\n")
    return b"Transfer-Encoding: chunked" in head and unchunked(rest)[1]


@EVERY
async def test_ok_is_a_complete_stream(ask: Ask, api: Api) -> None:
    client = await ask(api.ask("ok;tokens=4"))

    assert client.received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(api.texts(body_of(client))) == 4
    assert api.ended(body_of(client))
    assert is_complete(client)


@EVERY
@pytest.mark.parametrize("scenario", ["slow_first_token;delay=5ms", "stall;after=2;delay=5ms", "split_bytes"])
async def test_whatever_delays_a_stream_changes_no_byte_of_it(ask: Ask, api: Api, scenario: str) -> None:
    plain = await ask(api.ask("ok;tokens=4"))

    delayed = await ask(api.ask(f"{scenario};tokens=4"))

    assert body_of(delayed) == body_of(plain)


@EVERY
async def test_stall_is_silent_after_some_tokens(url: str, api: Api) -> None:
    async with connected(url) as client:
        client.send(api.ask("stall;after=2"))
        await client.until(lambda seen: len(api.texts(body_of(seen))) == 2)
        at_stall = client.received
        await exchange(url, api.ask("ok;tokens=1"))

    assert client.received == at_stall
    assert not api.ended(body_of(client))


@EVERY
@pytest.mark.parametrize("framing", ["chunked", "close", "chunked-clean"])
async def test_truncated_stream_ends_between_two_events_and_never_says_that_it_is_complete(
    ask: Ask, api: Api, framing: str
) -> None:
    client = await ask(api.ask(f"truncate;after=2;framing={framing}"))

    body = body_of(client)
    assert (len(api.texts(body)), api.read(body)[1], api.ended(body)) == (2, 0, False)
    assert (client.end == "fin") == (framing != "chunked-clean")
    assert is_complete(client) == (framing == "chunked-clean")


@EVERY
async def test_reset_comes_between_two_events(ask: Ask, api: Api) -> None:
    client = await ask(api.ask("reset;after=2"))

    body = body_of(client)
    assert (client.end, len(api.texts(body)), api.read(body)[1]) == ("rst", 2, 0)


@EVERY
async def test_reset_mid_event_leaves_half_an_event(ask: Ask, api: Api) -> None:
    client = await ask(api.ask("reset_mid_event;after=2"))

    texts = api.texts(body_of(client))
    assert (client.end, len(texts)) == ("rst", 2)
    assert api.read(body_of(client))[1] > 0


@EVERY
@pytest.mark.parametrize(("scenario", "status"), [("rate_limit", 429), ("server_error", 500), ("server_error;status=503", 503)])
async def test_refusal_has_its_status_before_any_event(ask: Ask, api: Api, scenario: str, status: int) -> None:
    client = await ask(api.ask(scenario))

    assert client.received.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nContent-Type: application/json\r\n" in client.received
    assert orjson.loads(body_of(client)).keys() & {"error", "message"}


@EVERY
async def test_timeout_hangs_up_without_an_answer(ask: Ask, api: Api) -> None:
    client = await ask(api.ask("timeout;delay=0"))

    assert (client.received, client.end) == (b"", "fin")


@EVERY
@pytest.mark.parametrize(("scenario", "tokens"), [("error_event_first", 0), ("error_event_late;after=2", 2)])
async def test_error_event_ends_a_stream_that_is_framed_well(ask: Ask, api: Api, scenario: str, tokens: int) -> None:
    client = await ask(api.ask(scenario))

    body = body_of(client)
    assert client.received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (len(api.texts(body)), api.failed(body), api.ended(body)) == (tokens, True, False)
    assert is_complete(client)


@pytest.mark.parametrize("api", [api for api in APIS.values() if api.idle], ids=lambda api: api.path)
async def test_idle_stream_sends_what_its_api_sends_and_no_event(url: str, api: Api) -> None:
    async with connected(url) as client:
        client.send(api.ask("pings_only;interval=1ms"))
        await client.until(lambda seen: body_of(seen).count(api.idle) >= 3)

    assert body_of(client).replace(api.idle, b"") == b""


@pytest.mark.parametrize("api", [api for api in APIS.values() if not api.idle], ids=lambda api: api.path)
async def test_idle_stream_of_an_api_without_pings_is_open_and_silent(url: str, api: Api) -> None:
    async with connected(url) as client:
        client.send(api.ask("pings_only;interval=1ms"))
        await client.until(lambda seen: b"\r\n\r\n" in seen.received)
        await exchange(url, api.ask("ok;tokens=20;pace=1ms"))

    assert (body_of(client), client.end) == (b"", "")
    assert client.received.endswith(b"\r\n\r\n")


@EVERY
async def test_huge_event_is_one_event(ask: Ask, api: Api) -> None:
    client = await ask(api.ask("huge_event;size=300000;tokens=4"))

    assert max(map(len, api.texts(body_of(client)))) == 300_000
    assert api.ended(body_of(client))


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        (request("/v1/messages", {**APIS["anthropic"].body, "stream": False}, more=ANTHROPIC_VERSION), "content"),
        (request("/v1/messages/count_tokens", APIS["anthropic"].body, more=ANTHROPIC_VERSION), "input_tokens"),
        (request("/v1beta/models/demo:generateContent", APIS["gemini"].body), "candidates"),
        (request("/v1/models/demo:generateContent", APIS["gemini"].body), "candidates"),
        (request("/v1/models/demo:countTokens", APIS["gemini"].body), "totalTokens"),
        (request("/model/arn%3Aaws%3Abedrock%3A%3A1%3Ax%2Fdemo/converse", APIS["converse"].body), "output"),
        (request("/model/demo/invoke", APIS["invoke"].body), "content"),
        (request("/openai/v1/chat/completions", {**APIS["azure"].body, "model": "demo", "stream": False}), "choices"),
        (request("/openai/v1/responses", {"model": "demo", "input": "Hello"}), "output"),
        (request("/openai/v1/embeddings", {"model": "demo", "input": "Hello"}), "data"),
        (request("/openai/deployments/demo/completions?api-version=1", {"prompt": "Hello"}), "choices"),
        (request("/openai/deployments/demo/embeddings?api-version=1", {"input": "Hello"}), "data"),
    ],
)
async def test_endpoint_without_a_stream_answers_with_one_object(ask: Ask, sent: bytes, key: str) -> None:
    client = await ask(sent)

    assert client.received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert key in orjson.loads(body_of(client))


async def test_invoked_answer_keeps_its_own_headers_under_every_hindrance(ask: Ask) -> None:
    for scenario in ("ok", "split_bytes", "truncate"):
        client = await ask(request("/model/demo/invoke", APIS["invoke"].body, scenario=scenario))

        assert b"\r\nX-Amzn-Bedrock-Output-Token-Count: " in client.received


@pytest.mark.parametrize(
    ("sent", "status", "mark"),
    [
        (request("/v1/messages", method="GET"), 405, b'{"type":"error","error":{"type":"invalid_request_error"'),
        (request("/v1/messages", {}), 400, b'{"type":"error","error":{"type":"invalid_request_error"'),
        (request("/v1beta/models/demo:generateContent", method="GET"), 405, b'"status":"INVALID_ARGUMENT"'),
        (request("/v1beta/models/demo:generateContent", b"{"), 400, b'"status":"INVALID_ARGUMENT"'),
        (request("/model/demo/converse", {}), 400, b"\r\nx-amzn-ErrorType: ValidationException:http"),
        (request("/openai/deployments/demo/embeddings", {}), 404, b'{"error":{"code":"404",'),
        (request("/v1/models/demo", {}), 405, b'{"error":{"message":'),
    ],
)
async def test_refusal_has_the_shape_of_the_api_at_that_path(ask: Ask, sent: bytes, status: int, mark: bytes) -> None:
    client = await ask(sent)

    assert client.received.startswith(b"HTTP/1.1 %d " % status)
    assert mark in client.received


async def test_anthropic_error_names_the_request_as_its_header_does(ask: Ask) -> None:
    client = await ask(request("/v1/messages", {}))

    name = orjson.loads(body_of(client))["request_id"]
    assert f"\r\nrequest-id: {name}\r\n".encode() in client.received


async def test_two_equal_requests_get_equal_bytes(ask: Ask) -> None:
    for api in APIS.values():
        first, second = [await ask(api.ask("ok")) for _ in range(2)]

        assert body_of(first) == body_of(second)
