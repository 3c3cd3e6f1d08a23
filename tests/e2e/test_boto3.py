"""The AWS SDKs for Python, unmodified: only endpoint and bearer token are the proxy's, over TLS as they demand it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import boto3  # type: ignore[import-untyped]
import pytest
from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
from aiobotocore.session import get_session  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]
from urllib3.exceptions import ProtocolError

from tests.e2e.front import caddy
from tests.support.answers import only_record
from tests.support.aws import ACCESS, SECRET, Aws
from tests.support.bedrock import (
    ANSWER,
    CLAUDE,
    FRAMES,
    HI,
    MODEL,
    START,
    STOP,
    STREAM_ERRORS,
    THROTTLED,
    WHOLE,
    bedrock,
    exception,
    frames,
    refused,
    signed_with,
)
from tests.support.certificates import Authority
from tests.support.house import KEY, House, open_house
from tests.support.tls_front import TlsFront
from tests.support.upstream import Drip, Fin, Hang, Pause, Reply, Upstream, answer

pytestmark = pytest.mark.client("boto3", "pypi:boto3")

ARN: Final = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TEA: Final = [{"role": "user", "content": [{"text": "Tea?"}]}]
ONCE: Final = {"retries": {"mode": "standard", "total_max_attempts": 1}, "read_timeout": 10, "connect_timeout": 5}

Client = Any  # boto3 makes its clients' classes at run time
MakeClient = Callable[[], Client]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Aws:
    """The client's machine."""
    return Aws(monkeypatch, tmp_path)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def house(upstream: Upstream) -> AsyncIterator[House]:
    values = bedrock(upstream.url, retry={"attempts": 1}).model_copy()
    arns = values.models[0].model_copy(update={"name": "arn:*"})
    async with open_house(values.model_copy(update={"models": (*values.models, arns)})) as opened:
        yield opened


@pytest.fixture
async def front(house: House, authority: Authority) -> AsyncIterator[TlsFront]:
    async with TlsFront(*house.server.address, authority.server_context()) as running:
        yield running


@pytest.fixture
async def client(aws: Aws, front: TlsFront, authority: Authority) -> AsyncIterator[Client]:
    aws.set(AWS_BEARER_TOKEN_BEDROCK=KEY)
    made = await make(front.url, authority)
    yield made
    made.close()


async def make(url: str, authority: Authority, **more: Any) -> Client:
    """Return a client of boto3's that repeats nothing."""
    return await asyncio.to_thread(
        boto3.client,
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        verify=str(authority.path),
        config=Config(**ONCE),
        **more,
    )


def streamed(client: Client, model: str = MODEL) -> list[dict[str, Any]]:
    """Return the events of a streamed conversation."""
    with contextlib.closing(client.converse_stream(modelId=model, messages=TEA)["stream"]) as stream:
        return list(stream)


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)


# What arrives.


@pytest.mark.parametrize("size", [1, 100, 10_000])
@pytest.mark.shows("text")
async def test_a_stream_is_that_of_the_backend(upstream: Upstream, client: Client, size: int) -> None:
    upstream.script(frames(Drip(WHOLE, size)))

    events = await asyncio.to_thread(streamed, client)

    assert [next(iter(event)) for event in events] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert text_of(events) == "Hi there"
    assert events[-1]["metadata"]["usage"]["inputTokens"] == 20


@pytest.mark.shows("text")
async def test_a_whole_answer_is_that_of_the_backend(upstream: Upstream, client: Client) -> None:
    upstream.script(answer(ANSWER))

    told = await asyncio.to_thread(client.converse, modelId=MODEL, messages=TEA)

    assert told["output"]["message"]["content"] == [{"text": "Hi"}]


@pytest.mark.shows("text")
async def test_a_model_s_own_stream_and_answer_pass(upstream: Upstream, client: Client) -> None:
    upstream.script(frames(*CLAUDE), answer({"content": [{"type": "text", "text": "Hi"}]}))
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": []})

    def both() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        stream = client.invoke_model_with_response_stream(modelId=MODEL, body=body)["body"]
        events = [json.loads(event["chunk"]["bytes"]) for event in stream]
        return events, json.loads(client.invoke_model(modelId=MODEL, body=body)["body"].read())

    events, whole = await asyncio.to_thread(both)

    assert [event["type"] for event in events][:3] == ["message_start", "content_block_start", "content_block_delta"]
    assert whole == {"content": [{"type": "text", "text": "Hi"}]}
    assert (await upstream.request()).body == body.encode()


async def test_tokens_are_counted_by_the_backend(upstream: Upstream, client: Client) -> None:
    upstream.script(answer({"inputTokens": 7}))

    told = await asyncio.to_thread(client.count_tokens, modelId=MODEL, input={"converse": {"messages": TEA}})

    assert told["inputTokens"] == 7


async def test_a_model_may_be_named_by_its_arn(upstream: Upstream, client: Client) -> None:
    upstream.script(frames(*FRAMES))

    events = await asyncio.to_thread(streamed, client, ARN)

    assert text_of(events) == "Hi there"
    assert (await upstream.request()).target.count(b"/") == 3


async def test_the_client_s_credential_stays_here(upstream: Upstream, client: Client, house: House) -> None:
    upstream.script(frames(*FRAMES))

    await asyncio.to_thread(streamed, client)

    seen = await upstream.request()
    assert seen.header("authorization") == "Bearer bedrock-api-key-upstream"
    assert KEY.encode() not in seen.head.raw
    assert KEY not in house.log_text()


async def test_the_backend_gets_a_signature_of_our_own(
    aws: Aws, upstream: Upstream, authority: Authority, tmp_path: Path
) -> None:
    """The client has a bearer token and another region, the proxy has keys."""
    upstream.script(frames(*FRAMES))
    configured = bedrock(
        upstream.url,
        each={"api_key": "", "region": "eu-central-1", "connect_timeout": "20s"},
        streaming={"attempt_timeout": "20s", "first_token_timeout": "20s"},
    )
    aws.credentials.write_text(f"[default]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n")
    async with open_house(configured) as house, TlsFront(*house.server.address, authority.server_context()) as front:
        signer = house.server._current.runtime.backends["a"].signer
        assert signer is not None
        if (ready := signer.ready()) is not None:
            await ready
        aws.set(AWS_BEARER_TOKEN_BEDROCK=KEY)  # from here on it is the client's machine
        client = await make(front.url, authority)

        events = await asyncio.to_thread(streamed, client)

        client.close()
        seen = await upstream.request()
        assert text_of(events) == "Hi there"
        assert signed_with(seen, SECRET)
        assert f"{ACCESS}/" in (seen.header("authorization") or "")
        assert "/eu-central-1/bedrock/" in (seen.header("authorization") or "")


@pytest.mark.shows("text")
async def test_the_asynchronous_sdk_gets_the_same(aws: Aws, upstream: Upstream, front: TlsFront, authority: Authority) -> None:
    upstream.script(frames(*FRAMES))
    aws.set(AWS_BEARER_TOKEN_BEDROCK=KEY)
    arguments = {
        "region_name": "us-east-1",
        "endpoint_url": front.url,
        "verify": str(authority.path),
        "config": AioConfig(**ONCE),
    }
    async with get_session().create_client("bedrock-runtime", **arguments) as client:
        response = await client.converse_stream(modelId=MODEL, messages=TEA)
        events = [event async for event in response["stream"]]

    assert text_of(events) == "Hi there"


@pytest.mark.component("caddy")
@pytest.mark.shows("text")
async def test_frames_come_one_by_one_through_caddy(
    aws: Aws, upstream: Upstream, house: House, authority: Authority, tmp_path: Path
) -> None:
    """It flushes at once whatever has no length, not event streams alone."""
    upstream.script(frames(START, *[step for _ in range(8) for step in (Pause(0.05), HI)], STOP))
    aws.set(AWS_BEARER_TOKEN_BEDROCK=KEY)
    async with caddy(tmp_path, house, certificate=authority.issue()) as front:
        client = await make(f"https://localhost:{front.port}", authority)

        times = await asyncio.to_thread(arrivals, client)

        client.close()
    assert len(times) == 8
    assert median(later - at for at, later in itertools.pairwise(times)) > 0.025


def arrivals(client: Client) -> list[float]:
    """Return when each piece of text came."""
    stream = client.converse_stream(modelId=MODEL, messages=TEA)["stream"]
    return [time.monotonic() for event in stream if "contentBlockDelta" in event]


# What goes wrong.


@pytest.mark.shows("errors")
async def test_a_refusal_is_the_sdk_s_own_exception(upstream: Upstream, client: Client) -> None:
    upstream.script(refused("ValidationException", message="too long"))

    with pytest.raises(client.exceptions.ValidationException, match="too long"):
        await asyncio.to_thread(streamed, client)


@pytest.mark.shows("errors")
async def test_a_failure_of_the_proxy_s_is_the_sdk_s_own_exception(upstream: Upstream, client: Client) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="does not exist"):
        await asyncio.to_thread(streamed, client, "amazon.nova-lite-v1:0")
    assert upstream.requests == []


@pytest.mark.parametrize("name", STREAM_ERRORS[:5])
@pytest.mark.shows("errors")
async def test_an_exception_in_a_stream_is_raised(upstream: Upstream, client: Client, name: str) -> None:
    upstream.script(frames(START, HI, exception(name, "no more")))

    with pytest.raises(EventStreamError, match="no more") as raised:
        await asyncio.to_thread(streamed, client)

    assert raised.value.response["Error"]["Code"] == name


BROKEN: dict[str, tuple[Reply, type[Exception]]] = {
    "without an end": (frames(START, HI), EventStreamError),
    "cut between frames": (frames(START, HI, Fin()), EventStreamError),
    "cut in a frame": (frames(START, HI[:-5], Fin()), ProtocolError),
}


@pytest.mark.parametrize(("reply", "error"), BROKEN.values(), ids=BROKEN)
@pytest.mark.shows("cut")
async def test_a_stream_that_is_not_finished_is_never_taken_for_one(
    upstream: Upstream, client: Client, reply: Reply, error: type[Exception]
) -> None:
    """Asked itself, a backend that stops without a word looks to the SDK as if all had been said."""
    upstream.script(reply)

    with pytest.raises(error):
        await asyncio.to_thread(streamed, client)


@pytest.mark.shows("errors")
async def test_a_throttled_first_frame_fails_over(aws: Aws, upstream: Upstream, authority: Authority) -> None:
    async with Upstream() as other, open_house(bedrock(upstream.url, other.url)) as house:
        upstream.script(frames(THROTTLED))
        other.script(frames(*FRAMES))
        aws.set(AWS_BEARER_TOKEN_BEDROCK=KEY)
        async with TlsFront(*house.server.address, authority.server_context()) as front:
            client = await make(front.url, authority)

            events = await asyncio.to_thread(streamed, client)

            client.close()
            assert text_of(events) == "Hi there"


@pytest.mark.shows("leaving")
async def test_a_client_that_closes_its_stream_stops_the_backend(upstream: Upstream, client: Client, house: House) -> None:
    upstream.script(frames(START, HI, Hang()))

    def leave() -> None:
        stream = client.converse_stream(modelId=MODEL, messages=TEA)["stream"]
        next(iter(stream))
        stream.close()

    await asyncio.to_thread(leave)

    await upstream.closed()
    assert (await only_record(house))["outcome"] == "client_gone"


# Who asks.


@pytest.mark.shows("errors")
async def test_a_signature_is_refused_with_a_hint(aws: Aws, front: TlsFront, authority: Authority) -> None:
    aws.keys()
    client = await make(front.url, authority)

    with pytest.raises(ClientError, match="AWS_BEARER_TOKEN_BEDROCK") as raised:
        await asyncio.to_thread(streamed, client)

    client.close()
    assert raised.value.response["Error"]["Code"] == "UnrecognizedClientException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401


async def test_a_signature_will_do_where_anybody_may_ask(aws: Aws, upstream: Upstream, authority: Authority) -> None:
    upstream.script(frames(*FRAMES))
    aws.keys()
    async with open_house(bedrock(upstream.url, auth={"allow_anonymous": True})) as house:
        client = await make(house.url, authority)

        events = await asyncio.to_thread(streamed, client)

        client.close()
        assert text_of(events) == "Hi there"
        assert ACCESS.encode() not in (await upstream.request()).head.raw
