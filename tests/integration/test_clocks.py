"""An upstream that is alive but says nothing: only content moves the clocks of content (invariant 6)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.answers import CREATED, FINISH, KEEPALIVE, RESPONSES, ROLE, TEXT_DELTA, TOKEN, ask, only_record, quick, sse
from tests.support.client import End
from tests.support.house import CHAT, FAR, open_house
from tests.support.steps import Step
from tests.support.upstream import DONE, Gate, Hang, How, Pause, Reply, Upstream, answer, stream, verbatim
from tests.support.whatwg import events

COMMENT = b": ping\n\n"
PING = sse({"type": "keepalive", "sequence_number": 4}, "keepalive")
SECONDS = 0.4
SHORT = f"{SECONDS}s"
LATE = 1  # seconds after a deadline by which the client must have heard of it


def again_and_again(*steps: bytes) -> Iterator[Step]:
    """Yield *steps*, and then the last of them every 20 ms for ever."""
    yield from steps
    while True:
        yield Pause(0.02)
        yield steps[-1]


def pinging(*steps: bytes) -> Reply:
    """Answer with *steps*, and then with the last of them for ever."""
    return Reply(headers=[("Content-Type", "text/event-stream")], body=again_and_again(*steps))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        pytest.param(CHAT, [COMMENT], id="comments"),
        pytest.param(CHAT, [ROLE, COMMENT], id="a role and comments"),
        pytest.param(CHAT, [ROLE], id="roles"),
        pytest.param(RESPONSES, [PING], id="keepalive events"),
        pytest.param(RESPONSES, [CREATED, PING], id="created and keepalive events"),
    ],
)
@pytest.mark.parametrize("commit_after", ["0s", FAR], ids=["committed early", "committed by an event"])
async def test_pings_do_not_stand_for_a_first_token(path: str, said: list[bytes], commit_after: str) -> None:
    streaming = {"first_token_timeout": SHORT, "commit_after": commit_after}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        upstream.script(pinging(*said))

        asked = time.monotonic()
        response = await ask(client, path)
        body = await response.read()
        took = time.monotonic() - asked

        assert SECONDS <= took < SECONDS + LATE
        record = await only_record(house)
        assert (record["outcome"], record["code"]) == ("upstream_timeout", "upstream_timeout")
        assert (await upstream.closed()).how is not How.LOCAL
        if record["status"] == 200:
            assert response.end is End.ABORTED
            assert "in time" in events(body)[-1].data
        else:
            assert (response.status, record["status"]) == (504, 504)


async def test_our_own_keepalives_do_not_stand_for_a_first_token() -> None:
    streaming = {"first_token_timeout": SHORT, "commit_after": "0s"}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        upstream.script(verbatim(Hang()))

        asked = time.monotonic()
        response = await ask(client)
        body = await response.read()
        took = time.monotonic() - asked

        assert SECONDS <= took < SECONDS + LATE
        assert body.count(KEEPALIVE) >= 3
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == "upstream_timeout"


async def test_pings_do_not_save_an_attempt_while_another_target_is_left() -> None:
    streaming = {"attempt_timeout": SHORT}
    async with (
        Upstream() as first,
        Upstream() as second,
        open_house(quick(first.url, second.url, streaming=streaming)) as house,
        house.client() as client,
    ):
        first.script(pinging(COMMENT))
        second.script(stream(TOKEN, DONE))

        response = await ask(client)

        assert await response.read() == TOKEN + DONE
        assert [attempt["result"] for attempt in (await only_record(house))["attempts"]] == ["upstream_timeout", "ok"]
        assert (await first.closed()).how is not How.LOCAL


@pytest.mark.parametrize(
    ("path", "said"),
    [
        pytest.param(CHAT, [TOKEN, COMMENT], id="comments"),
        pytest.param(CHAT, [TOKEN, ROLE], id="roles"),
        pytest.param(RESPONSES, [CREATED, TEXT_DELTA, PING], id="keepalive events"),
    ],
)
async def test_pings_do_not_stand_for_further_content(path: str, said: list[bytes]) -> None:
    streaming = {"content_timeout": SHORT}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        upstream.script(pinging(*said))

        response = await ask(client, path)
        await response.read_until(said[-2])
        since = response.reads[-1].at
        await response.read()
        took = time.monotonic() - since

        assert SECONDS <= took < SECONDS + LATE
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == "upstream_stalled"
        assert (await upstream.closed()).how is not How.LOCAL


async def test_our_own_keepalives_do_not_stand_for_bytes() -> None:
    streaming = {"idle_timeout": SHORT}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        upstream.script(stream(TOKEN, Hang()))

        response = await ask(client)
        await response.read_until(TOKEN)
        since = response.reads[-1].at
        body = await response.read()
        took = time.monotonic() - since

        assert SECONDS <= took < SECONDS + LATE
        assert body.count(KEEPALIVE) >= 3
        assert '"code":"upstream_stalled"' in events(body)[-1].data
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == "upstream_stalled"


async def test_a_stall_inside_an_event_is_cut_off_without_a_word() -> None:
    streaming = {"idle_timeout": SHORT}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        upstream.script(stream(TOKEN, TOKEN[:9], Hang()))

        response = await ask(client)

        assert await response.read() == TOKEN + TOKEN[:9]
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] == "upstream_stalled"


async def test_pings_count_as_bytes_and_content_as_content() -> None:
    """Each clock is started anew by what it measures: this stream lasts several times as long as either."""
    streaming = {"idle_timeout": "300ms", "content_timeout": "900ms"}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        pings: list[Step] = [Pause(0.05), COMMENT]
        upstream.script(stream(*[TOKEN, *pings * 8] * 3, FINISH, DONE))

        response = await ask(client)
        await response.read()

        assert response.end is End.CLEAN
        assert (await only_record(house))["outcome"] == "completed"


@pytest.mark.parametrize("begun", [False, True], ids=["nothing came", "half of it came"])
async def test_a_whole_answer_has_its_own_deadline(begun: bool) -> None:
    text = b'{"choices": []}'
    streaming = {"response_timeout": SHORT, "first_token_timeout": "100ms", "idle_timeout": "100ms"}
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=streaming)) as house, house.client() as client:
        half: list[Step] = [text[:9]] if begun else []
        upstream.script(Reply(headers=answer(text).headers, body=[*half, Gate("rest")], framing="length", length=len(text)))

        asked = time.monotonic()
        response = await ask(client, stream=False)
        await response.read()
        took = time.monotonic() - asked

        assert SECONDS <= took < SECONDS + LATE
        assert (response.status, response.end) == ((200, End.ABORTED) if begun else (504, End.CLEAN))
        assert (await only_record(house))["outcome"] == "upstream_timeout"
