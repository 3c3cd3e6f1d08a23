"""What each scenario puts on the wire, seen from a raw socket."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from proxy.simulator import Simulator
from tests.unit.simulator.support import Ask, RawClient, body_of, chat, connected, data_of, exchange, finished, settled, unchunked


def texts(client: RawClient) -> list[str]:
    """Return the text pieces that arrived."""
    chunks = [chunk for chunk in data_of(body_of(client)) if chunk != "[DONE]" and chunk.get("choices")]
    return [piece for chunk in chunks if (piece := chunk["choices"][0]["delta"].get("content"))]


def is_complete(client: RawClient) -> bool:
    return unchunked(client.received.partition(b"\r\n\r\n")[2])[1]


async def test_ok_is_a_complete_stream(ask: Ask) -> None:
    client = await ask(chat(scenario="ok;tokens=4"))

    assert client.received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Type: text/event-stream; charset=utf-8\r\n" in client.received
    assert len(texts(client)) == 4
    assert body_of(client).endswith(b"data: [DONE]\n\n")
    assert is_complete(client)


async def test_model_name_chooses_the_scenario_too(ask: Ask) -> None:
    client = await ask(chat(model="demo-rate-limit"))

    assert client.received.startswith(b"HTTP/1.1 429 ")


async def test_each_event_is_a_write_of_its_own(ask: Ask) -> None:
    client = await ask(chat(scenario="ok;tokens=20;pace=1ms"))

    events = [read.count(b"data: ") for read in client.reads]
    assert events.count(1) > 10  # a busy machine may join a few on the way


async def test_slow_first_token_sends_its_head_and_then_waits(url: str) -> None:
    async with connected(url) as client:
        client.send(chat(scenario="slow_first_token;delay=200ms;tokens=2"))
        await client.until(lambda seen: bool(seen.reads))
        head = client.received
        begun = asyncio.get_running_loop().time()
        await client.until(lambda seen: len(seen.received) > len(head))
        waited = asyncio.get_running_loop().time() - begun
        await client.until(finished)

    assert head.endswith(b"\r\n\r\n")
    assert waited > 0.15
    assert len(texts(client)) == 2


async def test_stall_is_silent_after_some_tokens_until_the_client_leaves(url: str, simulator: Simulator) -> None:
    async with connected(url) as client:
        client.send(chat(scenario="stall;after=3"))
        await client.until(lambda seen: len(texts(seen)) == 3)
        at_stall = client.received
        await exchange(url, chat(scenario="ok"))

        assert client.received == at_stall
        assert simulator.live == 1
    await settled(simulator)

    assert (simulator.finished, simulator.aborted) == (1, 1)


async def test_stall_goes_on_after_its_delay(ask: Ask) -> None:
    whole = await ask(chat(scenario="ok;tokens=6"))
    client = await ask(chat(scenario="stall;tokens=6;after=3;delay=20ms"))

    assert body_of(client) == body_of(whole)


async def test_truncated_chunked_stream_ends_by_fin_without_last_chunk(ask: Ask) -> None:
    client = await ask(chat(scenario="truncate;after=2"))

    assert client.end == "fin"
    assert not is_complete(client)
    assert client.received.endswith(b"\n\n\r\n")
    assert len(texts(client)) == 2
    assert b"[DONE]" not in client.received


async def test_truncated_close_delimited_stream_has_no_framing_and_ends_by_fin(ask: Ask) -> None:
    client = await ask(chat(scenario="truncate;after=2;framing=close"))

    head, _, body = client.received.partition(b"\r\n\r\n")
    assert client.end == "fin"
    assert b"Transfer-Encoding" not in head
    assert b"Content-Length" not in head
    assert b"\r\nConnection: close" in head
    assert body.startswith(b"data: {")
    assert body.endswith(b"\n\n")
    assert len(texts(client)) == 2


async def test_truncated_stream_can_end_cleanly_without_its_last_events(ask: Ask) -> None:
    client = await ask(chat(scenario="truncate;after=2;framing=chunked-clean"))

    assert is_complete(client)
    assert client.end == ""
    assert len(texts(client)) == 2
    assert b'"finish_reason":"' not in client.received


@pytest.mark.parametrize("scenario", ["truncate", "reset", "reset_mid_event", "error_event_late"])
async def test_answer_shorter_than_its_breaking_point_still_breaks_before_its_end(ask: Ask, scenario: str) -> None:
    client = await ask(chat(scenario=f"{scenario};tokens=2;after=50"))

    assert len(texts(client)) == 2
    assert b"[DONE]" not in client.received


async def test_break_after_no_token_comes_before_any_event(ask: Ask) -> None:
    client = await ask(chat(scenario="truncate;after=0"))

    assert client.received.endswith(b"\r\n\r\n")
    assert client.end == "fin"


async def test_reset_comes_at_the_end_of_an_event(ask: Ask) -> None:
    client = await ask(chat(scenario="reset;after=2"))

    assert client.end == "rst"
    assert client.received.endswith(b"\n\n\r\n")
    assert len(texts(client)) == 2


async def test_reset_mid_event_leaves_half_an_event(ask: Ask) -> None:
    client = await ask(chat(scenario="reset_mid_event;after=2"))

    tail = body_of(client).rpartition(b"\n\n")[2]
    assert client.end == "rst"
    assert tail.startswith(b'data: {"id":')
    assert not tail.endswith(b"}")


async def test_rate_limit_says_when_to_come_back(ask: Ask) -> None:
    client = await ask(chat(scenario="rate_limit;retry_after=7"))

    assert client.received.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 7\r\n" in client.received
    error = orjson.loads(body_of(client))["error"]
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")


async def test_rate_limit_can_be_a_spend_limit(ask: Ask) -> None:
    client = await ask(chat(scenario="rate_limit;code=insufficient_quota"))

    error = orjson.loads(body_of(client))["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")


@pytest.mark.parametrize(("scenario", "status"), [("server_error", 500), ("server_error;status=503;retry_after=0.5", 503)])
async def test_server_error_is_an_error_status(ask: Ask, scenario: str, status: int) -> None:
    client = await ask(chat(scenario=scenario))

    assert client.received.startswith(b"HTTP/1.1 %d " % status)
    assert (b"\r\nRetry-After: 0.5\r\n" in client.received) == (status == 503)
    assert orjson.loads(body_of(client))["error"]["type"] == "server_error"


async def test_timeout_sends_nothing_until_the_client_leaves(url: str, simulator: Simulator) -> None:
    async with connected(url) as client:
        client.send(chat(scenario="timeout"))
        await exchange(url, chat(scenario="ok"))

        assert client.reads == []
        assert simulator.live == 1
    await settled(simulator)

    assert simulator.aborted == 1


async def test_timeout_hangs_up_in_the_end_without_a_head(ask: Ask) -> None:
    client = await ask(chat(scenario="timeout;delay=10ms"))

    assert (client.received, client.end) == (b"", "fin")


async def test_first_event_can_be_an_error(ask: Ask) -> None:
    client = await ask(chat(scenario="error_event_first"))

    assert client.received.startswith(b"HTTP/1.1 200 ")
    assert body_of(client).startswith(b'data: {"error":{')
    assert body_of(client).count(b"data: ") == 1
    assert is_complete(client)


async def test_late_event_can_be_an_error(ask: Ask) -> None:
    client = await ask(chat(scenario="error_event_late;after=2"))

    *_, last = data_of(body_of(client))
    assert len(texts(client)) == 2
    assert last["error"]["code"] == "server_error"
    assert is_complete(client)


async def test_pings_only_sends_comments_for_ever(url: str, simulator: Simulator) -> None:
    async with connected(url) as client:
        client.send(chat(scenario="pings_only;interval=1ms"))
        await client.until(lambda seen: body_of(seen).count(b"\n\n") >= 5)

    await settled(simulator)
    assert set(body_of(client).removesuffix(b"\n\n").split(b"\n\n")) == {b": OPENROUTER PROCESSING"}
    assert simulator.aborted == 1


@pytest.mark.parametrize(("scenario", "size"), [("huge_event", 5 * 1024 * 1024), ("huge_event;size=100KiB", 102_400)])
async def test_huge_event_is_one_event_of_its_size(ask: Ask, scenario: str, size: int) -> None:
    client = await ask(chat(scenario=scenario))

    events = body_of(client).split(b"\n\n")
    assert [len(event) >= size for event in events].count(True) == 1
    assert events[-2:] == [b"data: [DONE]", b""]


async def test_split_bytes_arrive_one_by_one_and_are_the_same_stream(ask: Ask) -> None:
    whole = await ask(chat(scenario="ok;tokens=5"))
    client = await ask(chat(scenario="split_bytes;tokens=5"))

    sizes = [len(read) for read in client.reads[1:]]
    assert body_of(client) == body_of(whole)
    assert sizes.count(1) > 0.9 * sum(sizes)


async def test_split_bytes_gives_up_splitting_a_long_answer(ask: Ask) -> None:
    client = await ask(chat(scenario="split_bytes;tokens=300"))

    assert len(client.reads) < 40_000 < len(client.received)
    assert is_complete(client)


async def test_pace_is_the_time_between_tokens(ask: Ask) -> None:
    begun = asyncio.get_running_loop().time()

    await ask(chat(scenario="ok;tokens=10;pace=20ms"))

    assert asyncio.get_running_loop().time() - begun > 0.18


async def test_whole_answer_takes_the_time_of_its_tokens(ask: Ask) -> None:
    begun = asyncio.get_running_loop().time()

    await ask(chat(scenario="ok;tokens=10;pace=20ms", stream=False))

    assert asyncio.get_running_loop().time() - begun > 0.18


@pytest.mark.parametrize(("scenario", "end"), [("truncate", "fin"), ("reset", "rst"), ("reset_mid_event", "rst")])
async def test_whole_answer_breaks_off_before_its_length(ask: Ask, scenario: str, end: str) -> None:
    client = await ask(chat(scenario=scenario, stream=False))

    length = next(int(line[15:]) for line in client.received.split(b"\r\n") if line.startswith(b"Content-Length:"))
    assert client.end == end
    assert 0 < len(body_of(client)) < length


@pytest.mark.parametrize("framing", ["close", "chunked-clean"])
async def test_whole_answer_without_a_length_ends_as_half_a_json(ask: Ask, framing: str) -> None:
    client = await ask(chat(scenario=f"truncate;framing={framing}", stream=False))

    assert b"Content-Length" not in client.received
    assert body_of(client).startswith(b'{"id":')
    assert not body_of(client).endswith(b"}")


@pytest.mark.parametrize("scenario", ["stall;delay=10ms", "slow_first_token;delay=10ms", "split_bytes"])
async def test_whole_answer_arrives_whole_after_a_hindrance(ask: Ask, scenario: str) -> None:
    plain = await ask(chat(stream=False))
    client = await ask(chat(scenario=scenario, stream=False))

    assert body_of(client) == body_of(plain)


async def test_whole_answer_stalls_half_way(url: str, simulator: Simulator) -> None:
    async with connected(url) as client:
        client.send(chat(scenario="stall", stream=False))
        await client.until(lambda seen: bool(body_of(seen)))

        assert not finished(client)
    await settled(simulator)

    assert simulator.aborted == 1


@pytest.mark.parametrize("scenario", ["error_event_first", "error_event_late"])
async def test_whole_answer_can_be_an_error_under_a_200(ask: Ask, scenario: str) -> None:
    client = await ask(chat(scenario=scenario, stream=False))

    assert client.received.startswith(b"HTTP/1.1 200 ")
    assert orjson.loads(body_of(client)).keys() == {"error"}


async def test_whole_answer_of_pings_is_white_space(url: str) -> None:
    async with connected(url) as client:
        client.send(chat(scenario="pings_only;interval=1ms", stream=False))
        await client.until(lambda seen: len(body_of(seen)) >= 3)

    assert body_of(client).strip() == b""


async def test_stream_to_an_http_1_0_client_is_close_delimited(ask: Ask) -> None:
    client = await ask(chat(scenario="ok;tokens=2", version="1.0"))

    assert b"Transfer-Encoding" not in client.received
    assert client.end == "fin"
    assert body_of(client).endswith(b"data: [DONE]\n\n")
