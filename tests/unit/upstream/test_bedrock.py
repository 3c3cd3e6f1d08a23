"""Access to Bedrock over time: waited for, renewed before it expires, and told when it is not to be had."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from proxy import settings
from proxy.errors import BodyTooLarge, UpstreamCredentials
from proxy.settings import Origin
from proxy.upstream.bedrock import FRESH, PAUSE, RENEW_BEFORE, BedrockSigner, signer_of
from tests.support.aws import ACCESS, SECRET, Aws, from_container
from tests.support.upstream import Gate, Hang, Upstream, answer, verbatim

AMAZON = Origin("https", "bedrock-runtime.us-east-1.amazonaws.com", 443)
URL = f"{AMAZON}/model/m/converse"
HOUR = 3600.0


class Wall:
    """The time of day, which a test can move on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def move(self, seconds: float) -> None:
        self.ahead += seconds


class Kept:
    """A signer at work, and what it has told about."""

    def __init__(self, **config: Any) -> None:
        self.wall = Wall()
        self.settled: list[Origin] = []
        self.signer = BedrockSigner("aws", settings.Upstream.model_validate({"kind": "bedrock", **config}), self.wall)

    async def ready(self) -> None:
        """Wait as a request does."""
        waiter = self.signer.ready()
        if waiter is not None:
            await waiter

    @property
    def key(self) -> str:
        """Whose key signs at this moment."""
        told = dict(self.signer.headers(b"POST", URL, (), b"{}"))[b"Authorization"]
        return told.decode().split("Credential=")[1].split("/")[0]

    async def searched(self) -> None:
        """Wait until no search is under way."""
        async with asyncio.timeout(5):
            while self.signer._search is not None:  # noqa: ASYNC110 - nothing rings a bell here
                await asyncio.sleep(0.005)


@asynccontextmanager
async def kept(**config: Any) -> AsyncIterator[Kept]:
    """Start a signer, and close it at the end."""
    one = Kept(**config)
    one.signer.start(one.settled.append)
    try:
        yield one
    finally:
        await one.signer.close()


@pytest.fixture
def container(aws: Aws, upstream: Upstream) -> Callable[..., None]:
    """Let a container's service answer so, once each."""
    aws.container(upstream.url)
    return upstream.script


# Found.


async def test_a_request_that_comes_too_early_waits_for_what_the_start_has_begun(aws: Aws) -> None:
    aws.keys()
    async with kept() as it:
        waiter = it.signer.ready()
        assert waiter is not None
        assert it.settled == []

        await waiter

        assert it.settled == [AMAZON]
        assert it.signer.ready() is None
        assert it.key == ACCESS


async def test_all_who_wait_are_served_by_one_search(container: Callable[..., None], upstream: Upstream) -> None:
    container(from_container("ASIA1", HOUR))
    async with kept() as it:
        await asyncio.gather(*(it.ready() for _ in range(5)))

        assert len(upstream.requests) == 1


async def test_nobody_minds_one_who_waits_no_longer(container: Callable[..., None], upstream: Upstream) -> None:
    container(replace(from_container("ASIA1", HOUR), before=[Gate("asked")]))
    async with kept() as it:
        gone, still = it.signer.ready(), it.signer.ready()
        assert gone is not None
        assert still is not None
        await upstream.reached("asked")

        gone.cancel()
        upstream.open("asked")

        await still


# Missing.


async def test_a_request_is_told_what_is_missing_in_words_for_its_operator(aws: Aws) -> None:
    async with kept(region="us-east-1") as it:
        with pytest.raises(UpstreamCredentials) as failed:
            await it.ready()

        assert failed.value.detail == "no access to aws: there are no AWS credentials in any of the usual places"
        assert failed.value.public == "The proxy has no credentials for the model's backend."


async def test_nothing_is_searched_again_at_once(aws: Aws) -> None:
    async with kept(region="us-east-1") as it:
        with pytest.raises(UpstreamCredentials):
            await it.ready()
        aws.keys()

        it.signer.sweep()

        with pytest.raises(UpstreamCredentials):
            it.signer.ready()


async def test_a_later_request_searches_again(aws: Aws) -> None:
    async with kept(region="us-east-1") as it:
        with pytest.raises(UpstreamCredentials):
            await it.ready()
        aws.keys()
        it.wall.move(PAUSE)

        await it.ready()

        assert it.key == ACCESS


async def test_nobody_waits_longer_than_for_a_connection(container: Callable[..., None]) -> None:
    container(verbatim(Hang()))
    async with kept(connect_timeout="100ms") as it:
        with pytest.raises(UpstreamCredentials, match=r"no answer within 0\.1s"):
            await it.ready()


async def test_closing_gives_a_search_up(container: Callable[..., None], upstream: Upstream) -> None:
    container(verbatim(Gate("asked"), Hang()))
    async with kept():
        await upstream.reached("asked")

    await upstream.closed()


# Renewed.


@pytest.mark.parametrize(
    ("lives", "renewed_after"), [(HOUR, HOUR - RENEW_BEFORE), (900.0, 600.0), (300.0, 200.0)], ids=["long", "a quarter", "short"]
)
async def test_credentials_are_renewed_in_the_background_before_they_expire(
    container: Callable[..., None], upstream: Upstream, lives: float, renewed_after: float
) -> None:
    container(from_container("ASIA1", lives), *[from_container("ASIA1", lives)] * (lives <= 900), from_container("ASIA2", HOUR))
    async with kept() as it:
        await it.ready()
        asked = len(upstream.requests)

        it.wall.move(renewed_after - 30)
        it.signer.sweep()
        await it.searched()
        before = len(upstream.requests)
        it.wall.move(60)
        it.signer.sweep()
        nobody_waits = it.signer.ready() is None
        await it.searched()

        assert (before, nobody_waits) == (asked, True)
        assert it.key == "ASIA2"


async def test_credentials_that_do_not_expire_are_not_renewed(aws: Aws) -> None:
    aws.keys()
    async with kept() as it:
        await it.ready()
        aws.set(AWS_ACCESS_KEY_ID="AKIDOTHER")

        it.wall.move(365 * 86_400)
        it.signer.sweep()
        await it.searched()

        assert it.signer.ready() is None
        assert it.key == ACCESS


async def test_old_credentials_serve_while_new_ones_cannot_be_had(container: Callable[..., None], upstream: Upstream) -> None:
    container(from_container("ASIA1", HOUR), answer([]), from_container("ASIA2", 2 * HOUR))
    async with kept() as it:
        await it.ready()
        it.wall.move(HOUR - 60)
        it.signer.sweep()
        await it.searched()
        asked = (len(upstream.requests), it.signer.ready(), it.key)

        it.signer.sweep()
        await it.searched()
        too_early = len(upstream.requests)
        it.wall.move(PAUSE)
        it.signer.sweep()
        await it.searched()

        assert asked == (2, None, "ASIA1")
        assert too_early == 2
        assert it.key == "ASIA2"


async def test_a_request_waits_when_the_credentials_have_expired(container: Callable[..., None]) -> None:
    container(from_container("ASIA1", HOUR), from_container("ASIA2", 2 * HOUR))
    async with kept() as it:
        await it.ready()
        it.wall.move(HOUR + 1)

        waiter = it.signer.ready()
        assert waiter is not None
        await waiter

        assert it.key == "ASIA2"


async def test_credentials_that_aws_refuses_are_looked_up_again(aws: Aws) -> None:
    """Somebody may have put others into the file."""
    aws.keys()
    async with kept() as it:
        await it.ready()
        aws.set(AWS_ACCESS_KEY_ID="AKIDOTHER")

        it.signer.doubt()
        it.wall.move(FRESH - 5)
        it.signer.sweep()
        await it.searched()
        too_early = it.key
        it.wall.move(5)
        it.signer.sweep()
        await it.searched()

        assert (too_early, it.key) == (ACCESS, "AKIDOTHER")


async def test_a_doubt_does_not_put_off_what_is_due(container: Callable[..., None]) -> None:
    container(from_container("ASIA1", 60), from_container("ASIA1", 60), from_container("ASIA2", HOUR))
    async with kept() as it:
        await it.ready()
        it.wall.move(45)

        it.signer.doubt()
        it.signer.sweep()
        await it.searched()

        assert it.key == "ASIA2"


async def test_a_refused_bearer_token_is_not_looked_up_again(aws: Aws) -> None:
    aws.set(AWS_BEARER_TOKEN_BEDROCK="key-1")
    async with kept(region="us-east-1") as it:
        await it.ready()
        aws.set(AWS_BEARER_TOKEN_BEDROCK="key-2")

        it.signer.doubt()
        it.wall.move(FRESH)
        it.signer.sweep()
        await it.searched()

        assert it.signer.headers(b"POST", URL, (), b"") == ((b"Authorization", b"Bearer key-1"),)


# Bodies.


async def test_a_body_that_is_streamed_cannot_be_signed(aws: Aws) -> None:
    aws.keys()
    async with kept() as it:
        await it.ready()

        with pytest.raises(BodyTooLarge):
            it.signer.headers(b"POST", URL, (), None)


async def test_a_body_that_is_streamed_needs_no_signature_behind_a_bearer_token(aws: Aws) -> None:
    aws.set(AWS_BEARER_TOKEN_BEDROCK="key-1")
    async with kept(region="us-east-1") as it:
        await it.ready()

        assert it.signer.headers(b"POST", URL, (), None) == ((b"Authorization", b"Bearer key-1"),)


# Who needs one.


@pytest.mark.parametrize(
    ("config", "needed"),
    [
        ({"kind": "openai"}, False),
        ({"kind": "bedrock"}, True),
        ({"kind": "bedrock", "api_key": "k"}, True),
        ({"kind": "bedrock", "endpoint_url": "http://h"}, True),
        ({"kind": "bedrock", "endpoint_url": "http://h", "api_key": "k"}, False),
        ({"kind": "bedrock", "endpoint_url": "http://h", "headers": {"authorization": "Bearer k"}}, False),
        ({"kind": "bedrock", "endpoint_url": "http://h", "headers": {"X-Team": "blue"}}, True),
    ],
)
def test_whatever_a_configuration_leaves_open_is_searched(config: dict[str, Any], needed: bool) -> None:
    assert (signer_of("a", settings.Upstream.model_validate(config)) is not None) is needed


async def test_a_configured_key_leaves_only_the_place_to_be_found(aws: Aws) -> None:
    async with kept(region="eu-west-1", api_key="k") as it:
        await it.ready()

        assert [origin.host for origin in it.settled] == ["bedrock-runtime.eu-west-1.amazonaws.com"]
        assert it.signer.headers(b"POST", URL, (), b"") == ()


async def test_secrets_are_in_no_repr(aws: Aws) -> None:
    aws.keys()
    async with kept() as it:
        before = repr(it.signer)
        await it.ready()

        assert before == "<BedrockSigner aws found=nothing>"
        assert repr(it.signer) == "<BedrockSigner aws found=env>"
        assert SECRET not in repr(it.signer)
