"""White space before a slow JSON answer, for those who switch `json_keepalive_after` on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support.answers import TOKEN, ask, intervals_pass, only_record, quick, send
from tests.support.client import End, RawClient, Response
from tests.support.house import open_house
from tests.support.upstream import DONE, Fin, Gate, Reply, Upstream, answer, stream, verbatim

JSON = {"choices": [{"message": {"content": "Hi"}}]}
SPACES = {"json_keepalive_after": "80ms"}


async def test_a_slow_json_answer_is_preceded_by_white_space() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=SPACES)) as house, house.client() as client:
        upstream.script(replace(answer(JSON), before=[Gate("head")]))

        response = await spaced(client)
        upstream.open("head")
        body = await response.read()

        assert response.status == 200
        assert response.header("content-type") == "application/json"
        assert response.header("content-length") is None
        assert body.lstrip(b" ") == json.dumps(JSON).encode()
        assert response.end is End.CLEAN
        assert (await only_record(house))["outcome"] == "completed"


async def test_nothing_is_put_into_the_json_itself() -> None:
    text = json.dumps(JSON).encode()
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=SPACES)) as house, house.client() as client:
        upstream.script(replace(answer(text), body=[Gate("head"), text[:9], Gate("rest"), text[9:]], length=len(text)))

        response = await spaced(client)
        upstream.open("head")
        await response.read_until(text[:9])
        await intervals_pass(house, upstream)
        assert not client.wire.inbox
        upstream.open("rest")

        assert (await response.read()).lstrip(b" ") == text


async def test_a_json_answer_in_time_is_left_alone() -> None:
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=SPACES)) as house, house.client() as client:
        upstream.script(answer(JSON))

        response = await ask(client, stream=False)

        assert await response.read() == json.dumps(JSON).encode()
        assert response.header("content-length") == str(len(response.body))


async def test_white_space_and_a_good_status_stand_before_no_other_answer() -> None:
    """What says in its head that it is elsewhere would look like the answer itself."""
    text = b'{"moved": true}'
    elsewhere = replace(answer(text, 307), body=[Gate("body"), text], length=len(text))
    async with Upstream() as upstream, open_house(quick(upstream.url, streaming=SPACES)) as house, house.client() as client:
        upstream.script(elsewhere)

        await send(client, stream=False)
        await upstream.reached("body")
        await intervals_pass(house, upstream)
        upstream.open("body")
        response = await client.response()

        assert (response.status, await response.read()) == (307, text)


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(verbatim(Gate("head"), Fin()), id="closed"),
        pytest.param(replace(answer({"error": {"message": "no"}}, 400), before=[Gate("head")]), id="refused"),
        pytest.param(replace(stream(TOKEN, DONE), before=[Gate("head")]), id="not JSON"),
        pytest.param(replace(answer(b'{"half'), before=[Gate("head")], length=99, body=[b'{"half', Fin()]), id="cut"),
    ],
)
async def test_a_failure_behind_white_space_aborts_the_connection(failure: Reply) -> None:
    once = {"attempts": 1}
    async with (
        Upstream() as upstream,
        open_house(quick(upstream.url, streaming=SPACES, retry=once)) as house,
        house.client() as client,
    ):
        upstream.script(failure)

        response = await spaced(client)
        upstream.open("head")
        body = await response.read()

        assert body.lstrip(b" ") in (b"", b'{"half')
        assert response.end is End.ABORTED
        assert (await only_record(house))["outcome"] != "completed"


async def spaced(client: RawClient) -> Response:
    """Ask for a whole answer and return the response when some white space of it is there."""
    response = await ask(client, stream=False)
    await response.read_until(b"   ")
    return response
