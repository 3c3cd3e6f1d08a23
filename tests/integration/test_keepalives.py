"""Which frame fills a silence, by dialect and style, when it is due, and where there is none (design section 6)."""

from __future__ import annotations

import gzip
import re
import time
from itertools import pairwise

import pytest

from tests.support.answers import (
    COMPLETED,
    COMPLETIONS,
    CREATED,
    KEEPALIVE,
    RESPONSES,
    TEXT_DELTA,
    TOKEN,
    ask,
    intervals_pass,
    only_record,
    quick,
    sse,
)
from tests.support.client import End
from tests.support.house import CHAT, open_house
from tests.support.steps import Step
from tests.support.upstream import DONE, Gate, Hang, Pause, Reply, Upstream, stream

AFTER_ID = b": keepalive\n"
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
COMPLETION = sse({"choices": [{"index": 0, "text": "Hi", "finish_reason": None}]})
PROCESSING = b": OPENROUTER PROCESSING\n\n"


def numbered(number: int) -> bytes:
    """Return the frame of a response behind `response.created`."""
    return b'event: keepalive\ndata: {"type": "keepalive", "sequence_number": %d}\n\n' % number


@pytest.mark.parametrize(
    ("path", "before", "frame"),
    [
        pytest.param(CHAT, TOKEN, KEEPALIVE, id="chat"),
        pytest.param(CHAT, TOKEN.replace(b"\n", b"\r\n"), KEEPALIVE, id="chat, CRLF"),
        pytest.param(CHAT, b"id: 7\n" + TOKEN, AFTER_ID, id="chat behind an id"),
        pytest.param(CHAT, TOKEN + b"id\n" + TOKEN, AFTER_ID, id="chat behind an id without a value"),
        pytest.param(CHAT, b"data: id: 7\n\n", KEEPALIVE, id="chat behind an id that is data"),
        pytest.param(COMPLETIONS, COMPLETION, KEEPALIVE, id="completions"),
        pytest.param(COMPLETIONS, b"id: 7\n" + COMPLETION, AFTER_ID, id="completions behind an id"),
        pytest.param(RESPONSES, sse({"type": "response.queued"}, "response.queued"), KEEPALIVE, id="responses, not yet created"),
        pytest.param(RESPONSES, CREATED, numbered(0), id="responses, created"),
        pytest.param(RESPONSES, CREATED + TEXT_DELTA, numbered(4), id="responses, further on"),
        pytest.param("/v1/audio/speech", b"data: {}\n\n", KEEPALIVE, id="anything else"),
    ],
)
async def test_a_silence_is_filled_with_the_frame_of_the_dialect(path: str, before: bytes, frame: bytes) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(before, Hang()))

        response = await ask(client, path)
        body = await response.read_until(before + frame * 3)

        assert body.startswith(before + frame * 3)


async def test_an_id_counts_also_when_its_line_comes_in_pieces() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, b"i", b"d: 7\n", TOKEN, Hang()))

        response = await ask(client)

        await response.read_until(TOKEN + b"id: 7\n" + TOKEN + AFTER_ID * 2)


async def test_the_first_keepalive_of_responses_is_a_comment_and_a_numbered_one_waits_for_created() -> None:
    async with (
        Upstream() as upstream,
        open_house(quick(upstream.url, streaming={"commit_after": "0s"})) as house,
        house.client() as client,
    ):
        upstream.script(stream(Gate("created"), CREATED, Gate("delta"), TEXT_DELTA, Gate("end"), COMPLETED))

        response = await ask(client, RESPONSES)
        await response.read_until(KEEPALIVE * 2)
        upstream.open("created")
        await response.read_until(CREATED + numbered(0))
        upstream.open("delta")
        await response.read_until(TEXT_DELTA + numbered(4))
        upstream.open("end")
        body = await response.read()

        assert KEEPALIVE not in body[body.index(CREATED) :]
        assert numbered(0) not in body[: body.index(CREATED)]
        assert body.endswith(COMPLETED)
        assert response.end is End.CLEAN


@pytest.mark.parametrize(
    ("style", "frame", "after_id"),
    [
        ("comment", KEEPALIVE, AFTER_ID),
        ("comment-lf", AFTER_ID, AFTER_ID),
        ("ping", PING, PING),
        ("blank", b"\n", AFTER_ID),  # an empty line would be read as one more event
    ],
)
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_style_can_be_chosen_for_a_model(style: str, frame: bytes, after_id: bytes, path: str) -> None:
    first = TOKEN if path == CHAT else CREATED
    async with (
        Upstream() as upstream,
        open_house(quick(upstream.url, of_model={"keepalive_style": style})) as house,
        house.client() as client,
    ):
        upstream.script(stream(first, Gate("id"), b"id: 7\n" + first, Hang()))

        response = await ask(client, path)
        await response.read_until(first + frame * 3)
        upstream.open("id")
        body = await response.read_until(b"id: 7\n" + first + after_id * 3)

        assert body.startswith(first + frame * 3)


async def test_between_lines_of_ndjson_stands_a_space_and_within_a_line_nothing() -> None:
    """Ollama's client fails on an empty line."""
    first, second = b'{"a": 1}\n', b'{"b": 2}\n'
    steps: list[Step] = [first, Gate("second"), second[:3], Gate("rest"), second[3:]]
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(Reply(headers=[("Content-Type", "application/x-ndjson")], body=steps))

        response = await ask(client)
        await response.read_until(first + b"   ")
        upstream.open("second")
        await response.read_until(second[:3])
        await intervals_pass(house, upstream)
        assert not client.wire.inbox
        upstream.open("rest")
        body = await response.read()

        assert [line.lstrip(b" ") for line in body.splitlines(keepends=True)] == [first, second]
        assert response.end is End.CLEAN


async def test_nothing_is_put_between_lines_whose_length_has_been_told() -> None:
    """It would push as many bytes of the answer out of its length, into the next one on that connection."""
    first, second = b'{"a": 1}\n', b'{"b": 2}\n'
    head = [("Content-Type", "application/x-ndjson")]
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(Reply(headers=head, body=[first, Gate("second"), second], framing="length"))

        response = await ask(client)
        await response.read_until(first)
        await intervals_pass(house, upstream)
        upstream.open("second")

        assert (await response.read(), response.header("content-length")) == (first + second, str(len(first + second)))
        assert not client.wire.inbox


async def test_style_off_sends_nothing_but_commits_early_all_the_same() -> None:
    own = {"keepalive_style": "off", "commit_after": "100ms"}
    async with Upstream() as upstream, open_house(quick(upstream.url, of_model=own)) as house, house.client() as client:
        upstream.script(stream(Gate("event"), TOKEN, Gate("end"), DONE))

        response = await ask(client)
        await intervals_pass(house, upstream)
        upstream.open("event")
        await response.read_until(TOKEN)
        await intervals_pass(house, upstream)
        upstream.open("end")

        assert await response.read() == TOKEN + DONE


async def test_the_text_may_hold_the_time() -> None:
    streaming = {"keepalive_text": "heartbeat {unix_ms}"}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Hang()))

        began = time.time()
        response = await ask(client)
        while len(told := re.findall(rb"^: heartbeat (\d{13})\n\n", response.body.replace(TOKEN, b""), re.MULTILINE)) < 3:
            await response.more()
        ended = time.time()

        times = [int(each) / 1000 for each in told]
        assert times == sorted(set(times))
        assert began - 0.001 <= times[0] < times[-1] <= ended


async def test_a_frame_is_due_an_interval_after_the_last_byte_and_not_earlier() -> None:
    streaming = {"keepalive_interval": "100ms"}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Hang()))

        response = await ask(client)
        await response.read_until(TOKEN + KEEPALIVE * 4)

        gaps = [later.at - earlier.at for earlier, later in pairwise(response.reads)]
        assert len(gaps) == 4
        assert sorted(gaps)[1] > 0.095, "as seen from the client, whose own reads may come late"
        assert sorted(gaps)[1] < 0.2


async def test_while_bytes_flow_there_is_no_keepalive() -> None:
    streaming = {"keepalive_interval": "400ms"}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        steps: list[Step] = [TOKEN, Pause(0.05)]
        upstream.script(stream(*steps * 12, DONE))

        response = await ask(client)

        assert await response.read() == TOKEN * 12 + DONE


async def test_the_upstreams_own_keepalives_pass_and_count_as_bytes() -> None:
    streaming = {"keepalive_interval": "400ms"}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        steps: list[Step] = [Pause(0.05), PROCESSING]
        upstream.script(stream(TOKEN, *steps * 10, DONE))

        response = await ask(client)

        assert await response.read() == TOKEN + PROCESSING * 10 + DONE


@pytest.mark.parametrize(
    ("path", "answered"), [(CHAT, TOKEN + DONE), (RESPONSES, CREATED + TEXT_DELTA + COMPLETED)], ids=["chat", "responses"]
)
async def test_there_is_no_keepalive_behind_the_end(path: str, answered: bytes) -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(answered, Gate("end")))

        response = await ask(client, path)
        await response.read_until(answered)
        await intervals_pass(house, upstream)
        assert not client.wire.inbox
        upstream.open("end")

        assert await response.read() == answered
        assert response.end is End.CLEAN


async def test_there_is_none_in_an_encoded_stream_even_at_what_looks_like_a_boundary() -> None:
    packed = gzip.compress(TOKEN + DONE)
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(packed + b"\n\n", Gate("end"), headers=[("Content-Encoding", "gzip")]))

        response = await ask(client)
        await response.read_until(packed + b"\n\n")
        await intervals_pass(house, upstream)
        assert not client.wire.inbox
        upstream.open("end")

        assert await response.read() == packed + b"\n\n"


async def test_over_http_1_0_frames_come_without_chunks() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Gate("end"), DONE))

        response = await ask(client, version="1.0")
        await response.read_until(TOKEN + KEEPALIVE * 2)
        upstream.open("end")
        body = await response.read()

        assert bytes(response.raw) == body
        assert body.replace(KEEPALIVE, b"") == TOKEN + DONE


async def test_keepalives_are_counted_before_and_after_the_first_token() -> None:
    streaming = {"commit_after": "0s"}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        upstream.script(stream(Gate("token"), TOKEN, Gate("end"), DONE))

        response = await ask(client)
        await response.read_until(KEEPALIVE * 3)
        upstream.open("token")
        await response.read_until(TOKEN + KEEPALIVE * 2)
        upstream.open("end")
        before, after = (part.count(KEEPALIVE) for part in (await response.read()).split(TOKEN))

        assert (await only_record(house))["keepalives"] == before + after
        assert await house.metric("llm_proxy_keepalives_sent_total", route="chat", phase="before") == before
        assert await house.metric("llm_proxy_keepalives_sent_total", route="chat", phase="after") == after
