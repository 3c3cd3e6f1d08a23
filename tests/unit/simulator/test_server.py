from __future__ import annotations

import asyncio
import logging

import orjson
import pytest
import uvloop

from proxy.simulator import Simulator
from tests.unit.simulator.support import Ask, body_of, chat, connected, eventually, exchange, finished, request, settled

SECRET = "sk-canary-7f3a9d"


async def test_two_equal_requests_get_equal_bytes(ask: Ask) -> None:
    first = await ask(chat())
    second = await ask(chat())

    assert body_of(first) == body_of(second)


async def test_request_id_is_the_simulators_own_and_new_each_time(ask: Ask) -> None:
    sent = request("/v1/models", method="GET", more="X-Request-Id: mine\r\n")

    heads = [(await ask(sent)).received.partition(b"\r\n\r\n")[0] for _ in range(2)]

    ids = {line for head in heads for line in head.split(b"\r\n") if line.startswith(b"x-request-id: req_")}
    assert len(ids) == 2
    assert all(b"mine" not in head for head in heads)


@pytest.mark.parametrize("leave", ["abort", "half-close"])
async def test_client_that_leaves_ends_its_stream_at_once(url: str, simulator: Simulator, leave: str) -> None:
    async with connected(url) as client:
        client.send(chat(scenario="ok;tokens=100000;pace=1ms"))
        await client.until(lambda seen: len(seen.received) > 2000)
        assert client.transport is not None
        assert simulator.live == 1

        left = asyncio.get_running_loop().time()
        if leave == "abort":
            client.leave()
        else:
            client.transport.write_eof()
        await settled(simulator)

    assert asyncio.get_running_loop().time() - left < 0.5
    assert (simulator.live, simulator.finished, simulator.aborted) == (0, 0, 1)


@pytest.mark.parametrize("stream", [True, False])
async def test_client_that_leaves_before_the_first_token_is_noticed(url: str, simulator: Simulator, stream: bool) -> None:
    async with connected(url) as client:
        client.send(chat(scenario="slow_first_token;delay=10m", stream=stream))
        await eventually(lambda: simulator.live == 1)

    await settled(simulator)
    assert simulator.aborted == 1


async def test_played_scripts_count_as_finished_however_bad(ask: Ask, simulator: Simulator) -> None:
    for scenario in ("ok;tokens=1", "truncate", "reset", "rate_limit", "error_event_first", "timeout;delay=0", "nonsense"):
        await ask(chat(scenario=scenario))

    await settled(simulator)
    assert (simulator.finished, simulator.aborted) == (7, 0)
    assert repr(simulator) == "<Simulator live=0 finished=7 aborted=0>"


async def test_bad_ends_leave_no_error_in_the_log(ask: Ask, simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    for scenario in ("truncate", "truncate;framing=close", "reset", "reset_mid_event", "timeout;delay=0"):
        await ask(chat(scenario=scenario))
        await ask(chat(scenario=scenario, stream=False))
    await settled(simulator)

    assert [record for record in caplog.records if record.name != "asyncio"] == []


async def test_credentials_are_not_needed_and_never_echoed(ask: Ask) -> None:
    body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "What is in my request?"}]}
    more = f"Authorization: Bearer {SECRET}\r\napi-key: {SECRET}\r\nCookie: {SECRET}\r\n"

    for sent in (
        request("/v1/chat/completions", body, more=more),
        request("/v1/chat/completions", b"{", more=more),
        request(f"/v1/{SECRET}", body, more=more),
        request("/v1/responses", {"model": "demo", "input": "Hello"}, more=more),
    ):
        client = await ask(sent)

        assert SECRET.encode() not in client.received


@pytest.mark.parametrize(
    ("sent", "status", "param"),
    [
        (request("/v1/chat/completions", b'{"model": '), 400, None),
        (request("/v1/chat/completions", b"[]"), 400, None),
        (request("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}), 400, "model"),
        (request("/v1/nothing", {}), 404, None),
        (request("/elsewhere", method="GET"), 404, None),
        (request("/v1/chat/completions", method="GET"), 405, None),
        (chat(scenario="nonsense"), 400, "X-Test-Scenario"),
        (chat(scenario="stall;speed=3"), 400, "X-Test-Scenario"),
    ],
)
async def test_refusal_has_the_shape_of_openai(ask: Ask, sent: bytes, status: int, param: str | None) -> None:
    client = await ask(sent)

    head = client.received.partition(b"\r\n\r\n")[0]
    error = orjson.loads(body_of(client))["error"]
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert b"\r\nx-request-id: req_" in head
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, None)
    assert error["message"]


async def test_wrong_method_is_told_the_right_one(ask: Ask) -> None:
    client = await ask(request("/v1/models", {}))

    assert b"\r\nAllow: GET\r\n" in client.received


async def test_query_string_is_ignored(ask: Ask) -> None:
    client = await ask(request("/v1/models?limit=5&after=x", method="GET"))

    assert client.received.startswith(b"HTTP/1.1 200 ")


async def test_chunked_request_with_expectation_is_served(url: str) -> None:
    body = orjson.dumps({"model": "demo", "messages": [{"role": "user", "content": "Hi"}]})
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"

    async with connected(url) as client:
        client.send(head)
        await client.until(lambda seen: seen.received.startswith(b"HTTP/1.1 100 Continue\r\n\r\n"))
        client.forget()
        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        await client.until(finished)

    assert orjson.loads(body_of(client))["object"] == "chat.completion"


async def test_body_over_the_limit_is_refused() -> None:
    simulator = Simulator(pace=0, max_body=1024)

    client = await exchange(await simulator.start(), request("/v1/embeddings", b" " * 2000))
    await simulator.close()

    assert client.received.startswith(b"HTTP/1.1 413 ")
    assert orjson.loads(body_of(client))["error"]["type"] == "invalid_request_error"


async def test_pace_is_the_simulators_own_unless_the_scenario_sets_it() -> None:
    simulator = Simulator(pace=0.02)
    url = await simulator.start()
    begun = asyncio.get_running_loop().time()

    await exchange(url, chat(scenario="ok;tokens=10"))
    own = asyncio.get_running_loop().time() - begun
    await simulator.close()

    assert own > 0.18


async def test_client_that_leaves_between_two_writes_is_no_error(
    url: str, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The transport knows before the handler is cancelled."""
    sent = chat(scenario="ok", n=128)

    async with connected(url) as client:
        client.send(sent[:-1])
        await eventually(lambda: simulator.live == 1)
        client.send(sent[-1:])
        client.leave()
        await settled(simulator)

    assert simulator.aborted == 1
    assert [record for record in caplog.records if record.name != "asyncio"] == []


async def test_closing_cuts_off_what_is_live(url: str, simulator: Simulator) -> None:
    async with connected(url) as client:
        client.send(chat(scenario="stall;after=1"))
        await client.until(lambda seen: b'"content":"' in seen.received)
        begun = asyncio.get_running_loop().time()

        await simulator.close()
        await client.until(lambda seen: bool(seen.end))

    assert asyncio.get_running_loop().time() - begun < 0.9  # it does not wait for the script to end
    assert not client.received.endswith(b"0\r\n\r\n")
    assert (simulator.live, simulator.aborted) == (0, 1)


async def test_closing_twice_or_before_the_start_is_harmless() -> None:
    simulator = Simulator()

    await simulator.close()
    await simulator.start()
    await simulator.close()
    await simulator.close()


async def test_port_in_use_is_an_os_error(url: str) -> None:
    other = Simulator()

    with pytest.raises(OSError, match="in use"):
        await other.start(port=int(url.rsplit(":", 1)[1]))
    await other.close()


async def test_seed_changes_the_words() -> None:
    bodies = []
    for seed in (1, 2):
        simulator = Simulator(pace=0, seed=seed)
        client = await exchange(await simulator.start(), chat(stream=False))
        bodies.append(orjson.loads(body_of(client))["choices"])
        await simulator.close()

    assert bodies[0] != bodies[1]


@pytest.mark.parametrize(
    ("scenario", "end"), [("ok;tokens=3", ""), ("truncate", "fin"), ("reset", "rst"), ("split_bytes;tokens=3", "")]
)
def test_uvloop_serves_the_same(scenario: str, end: str) -> None:
    async def play() -> str:
        simulator = Simulator(pace=0)
        client = await exchange(await simulator.start(), chat(scenario=scenario))
        await simulator.close()
        assert b"data: {" in client.received
        return client.end

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(play()) == end
