"""The proxy's own access to Bedrock: requests are signed anew, with whatever the machine supplies, and without it nobody waits long."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from proxy.upstream import BedrockSigner
from tests.integration.asking import attempts
from tests.support.answers import only_record, until
from tests.support.aws import ACCESS, SECRET, TOKEN, Aws, from_container, from_sts, sts_refuses
from tests.support.bedrock import (
    ANSWER,
    ASK,
    CONVERSE,
    CONVERSE_STREAM,
    FRAMES,
    KEY_HEADERS,
    RENAMED,
    WHOLE,
    ask_bedrock,
    bedrock,
    frames,
    refused,
    signed_with,
    signer_of,
)
from tests.support.client import Response
from tests.support.house import CHAT, FAR, KEY, House, chat, open_house, settings
from tests.support.upstream import DONE, Gate, Hang, Upstream, answer, verbatim

# of an upstream that leaves everything to the SDK
SIGNED = {"api_key": "", "region": None}
TELLTALES = (SECRET, TOKEN, KEY, "bedrock-api-key")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Aws:
    return Aws(monkeypatch, tmp_path)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def service() -> AsyncIterator[Upstream]:
    """Whoever supplies credentials."""
    async with Upstream() as running:
        yield running


async def read(house: House, path: str = CONVERSE_STREAM) -> Response:
    async with house.client() as client:
        response = await ask_bedrock(client, path)
        await response.read()
        return response


def signer(house: House) -> BedrockSigner:
    """Return what signs the requests to the upstream `a`."""
    found = house.server._current.runtime.backends["a"].signer
    assert found is not None
    return found


def no_secret_in(house: House) -> bool:
    return not any(secret in house.log_text() for secret in TELLTALES)


# Signed.


@pytest.mark.parametrize("path", [CONVERSE_STREAM, CONVERSE, "/model/claude/converse", CONVERSE + "?b=2&a=%2B"])
async def test_a_request_is_signed_anew_over_the_bytes_that_are_sent(aws: Aws, upstream: Upstream, path: str) -> None:
    aws.keys(token=TOKEN)
    upstream.script(frames(*FRAMES) if path == CONVERSE_STREAM else answer(ANSWER))
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house:
        response = await read(house, path)

        assert response.status == 200
        seen = await upstream.request()
        assert signed_with(seen, SECRET)
        assert signer_of(seen) == (ACCESS, "us-east-1", "bedrock")
        assert seen.header("x-amz-security-token") == TOKEN
        assert (KEY.encode() in seen.head.raw, seen.body) == (False, ASK)
        assert no_secret_in(house)


async def test_a_model_of_another_name_is_signed_under_that_name(aws: Aws, upstream: Upstream) -> None:
    aws.keys()
    upstream.script(answer(ANSWER))
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house:
        await read(house, "/model/claude/converse")

        seen = await upstream.request()
        assert seen.target == f"/model/{RENAMED.replace(':', '%3A')}/converse".encode()
        assert signed_with(seen, SECRET)


async def test_each_attempt_is_signed_by_itself(aws: Aws, upstream: Upstream) -> None:
    aws.keys()
    upstream.script(refused("ServiceUnavailableException"), refused("ThrottlingException"), frames(*FRAMES))
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house:
        response = await read(house)

        assert bytes(response.body) == WHOLE
        assert [signed_with(await upstream.request(number), SECRET) for number in range(3)] == [True] * 3


async def test_the_endpoint_comes_from_the_environment_where_none_is_configured(aws: Aws, upstream: Upstream) -> None:
    aws.keys()
    aws.set(AWS_ENDPOINT_URL_BEDROCK_RUNTIME=upstream.url)
    upstream.script(frames(*FRAMES))
    models = [{"name": "anthropic.*", "targets": [{"upstream": "aws"}]}]
    configured = settings(upstreams={"aws": {"kind": "bedrock", "connect_timeout": FAR}}, models=models)
    async with open_house(configured) as house:
        response = await read(house)

        assert bytes(response.body) == WHOLE
        assert signed_with(await upstream.request(), SECRET)


async def test_a_bearer_token_of_the_environment_s_is_used(aws: Aws, upstream: Upstream) -> None:
    aws.keys()
    aws.set(AWS_BEARER_TOKEN_BEDROCK="bedrock-api-key-of-the-machine")
    upstream.script(frames(*FRAMES))
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house:
        await read(house)

        assert (await upstream.request()).header("authorization") == "Bearer bedrock-api-key-of-the-machine"
        assert no_secret_in(house)


async def test_a_role_is_assumed(aws: Aws, upstream: Upstream, service: Upstream) -> None:
    service.script(from_sts("ASIAROLE", 3600))
    aws.role(service.url)
    upstream.script(frames(*FRAMES))
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house:
        await read(house)

        seen = await upstream.request()
        assert signer_of(seen) == ("ASIAROLE", "eu-west-1", "bedrock")
        assert signed_with(seen, SECRET)
        assert no_secret_in(house)


async def test_a_named_path_is_signed_too(aws: Aws, upstream: Upstream) -> None:
    aws.keys()
    upstream.script(answer({}))
    configured = bedrock(upstream.url, each={**SIGNED, "passthrough": ["/guardrail"]})
    async with open_house(configured) as house, house.client() as client:
        response = await client.request("POST", "/upstream/a/guardrail/g/version/1/apply", KEY_HEADERS, ASK)
        await response.read()

        assert response.status == 200
        assert signed_with(await upstream.request(), SECRET)


async def test_a_body_too_large_to_be_kept_is_too_large_to_be_signed(aws: Aws, upstream: Upstream) -> None:
    aws.keys()
    configured = bedrock(upstream.url, each={**SIGNED, "passthrough": ["/guardrail"]}, retry={"max_body": "1KiB"})
    async with open_house(configured) as house, house.client() as client:
        response = await client.request("POST", "/upstream/a/guardrail/g/version/1/apply", KEY_HEADERS, bytes(2000))
        await response.read()

        assert response.status == 413
        assert upstream.requests == []


async def test_a_translated_request_is_signed_as_it_is_asked(aws: Aws, upstream: Upstream) -> None:
    aws.keys()
    upstream.script(frames(*FRAMES))
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house, house.client() as client:
        response = await client.request("POST", CHAT, KEY_HEADERS, chat(model="claude"))
        await response.read()

        seen = await upstream.request()
        assert seen.target == f"/model/{RENAMED.replace(':', '%3A')}/converse-stream".encode()
        assert signed_with(seen, SECRET)
        assert bytes(response.body).endswith(DONE)


# Over time.


async def test_a_request_waits_for_credentials_that_are_on_their_way(aws: Aws, upstream: Upstream, service: Upstream) -> None:
    service.script(replace(from_container("ASIA1", 3600), before=[Gate("asked")]))
    aws.container(service.url)
    upstream.script(frames(*FRAMES))
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house, house.client() as client:
        await service.reached("asked")
        await client.send_request("POST", CONVERSE_STREAM, KEY_HEADERS, ASK)
        await until(lambda: len(house.server.lifecycle) == 1)
        before = len(upstream.connections)
        service.open("asked")
        response = await client.response()
        await response.read()

        assert (before, bytes(response.body)) == (0, WHOLE)
        assert signer_of(await upstream.request())[0] == "ASIA1"


async def test_credentials_are_renewed_while_requests_go_on(
    aws: Aws, upstream: Upstream, service: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.script(from_container("ASIA1", 3600), replace(from_container("ASIA2", 7200), before=[Gate("renewing")]))
    aws.container(service.url)
    upstream.always(frames(*FRAMES))
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house:
        await read(house)
        monkeypatch.setattr(signer(house), "_wall", lambda: time.time() + 3000)
        await service.reached("renewing")  # the ticker has come by
        await read(house)
        service.open("renewing")
        await until(lambda: "ASIA2" in str(signer(house).headers(b"GET", "http://h", (), b"")), pause=0.01)
        await read(house)

        assert [signer_of(await upstream.request(number))[0] for number in range(3)] == ["ASIA1", "ASIA1", "ASIA2"]


async def test_a_request_waits_for_new_credentials_when_the_old_ones_have_expired(
    aws: Aws, upstream: Upstream, service: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.script(from_container("ASIA1", 3600), from_container("ASIA2", 7200))
    aws.container(service.url)
    upstream.always(frames(*FRAMES))
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house:
        await read(house)
        monkeypatch.setattr(signer(house), "_wall", lambda: time.time() + 3700)

        response = await read(house)

        assert bytes(response.body) == WHOLE
        assert signer_of(await upstream.request(1))[0] == "ASIA2"


async def test_a_reload_searches_anew(aws: Aws, upstream: Upstream) -> None:
    aws.keys()
    upstream.always(frames(*FRAMES))
    configured = bedrock(upstream.url, each=SIGNED)
    async with open_house(configured) as house:
        await read(house)
        aws.set(AWS_ACCESS_KEY_ID="AKIDOTHER")
        await house.server.put_in_force(configured)

        await read(house)

        assert [signer_of(await upstream.request(number))[0] for number in range(2)] == [ACCESS, "AKIDOTHER"]


async def test_what_aws_refuses_is_looked_up_again(aws: Aws, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody puts new keys into the file when the old ones have expired."""
    aws.keys()
    upstream.script(refused("ExpiredTokenException", 403), frames(*FRAMES))
    async with open_house(bedrock(upstream.url, each=SIGNED, retry={"attempts": 1})) as house:
        first = await read(house)
        aws.set(AWS_ACCESS_KEY_ID="AKIDOTHER")
        monkeypatch.setattr(signer(house), "_wall", lambda: time.time() + 70)
        await until(lambda: "AKIDOTHER" in str(signer(house).headers(b"GET", "http://h", (), b"")), pause=0.01)
        second = await read(house)

        assert (first.status, second.status) == (502, 200)


# Without.


async def test_without_credentials_it_starts_and_each_request_is_told(aws: Aws, upstream: Upstream) -> None:
    async with open_house(bedrock(upstream.url, each={**SIGNED, "region": "us-east-1"})) as house:
        response = await read(house)

        assert (response.status, response.header("x-amzn-errortype")) == (502, "InternalServerException")
        assert response.json() == {"message": "The proxy has no credentials for the model's backend."}
        record = await only_record(house)
        assert record["code"] == "upstream_credentials"
        assert record["detail"] == "no access to a: there are no AWS credentials in any of the usual places"
        assert upstream.connections == []


async def test_without_a_region_it_says_where_to_set_one(aws: Aws, upstream: Upstream) -> None:
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house:
        await read(house)

        assert "set the upstream's region" in (await only_record(house))["detail"]


async def test_a_role_that_may_not_be_assumed_is_told_to_the_operator_alone(
    aws: Aws, upstream: Upstream, service: Upstream
) -> None:
    service.always(sts_refuses("AccessDenied"))
    aws.role(service.url)
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house:
        response = await read(house)

        assert b"AccessDenied" not in response.body
        assert (await only_record(house))["detail"] == "no access to a: AssumeRole: AccessDenied"
        assert no_secret_in(house)


async def test_another_target_answers_where_credentials_are_missing(aws: Aws, upstream: Upstream) -> None:
    upstream.script(frames(*FRAMES))
    configured = bedrock(upstream.url, upstream.url)
    without = configured.upstreams["a"].model_copy(update={"api_key": SecretStr(""), "connect_timeout": 20.0})
    async with open_house(configured.model_copy(update={"upstreams": {**configured.upstreams, "a": without}})) as house:
        response = await read(house)

        assert bytes(response.body) == WHOLE
        assert attempts(await only_record(house)) == [("a", "upstream_credentials"), ("b", "ok")]


async def test_nobody_waits_longer_for_credentials_than_for_a_connection(aws: Aws, upstream: Upstream, service: Upstream) -> None:
    service.always(verbatim(Hang()))
    aws.container(service.url)
    async with open_house(bedrock(upstream.url, each={**SIGNED, "connect_timeout": "200ms"})) as house:
        response = await read(house)

        assert response.status == 502
        assert (await only_record(house))["detail"] == "no access to a: no answer within 0.2s"


async def test_a_deadline_ends_the_wait_too(aws: Aws, upstream: Upstream, service: Upstream) -> None:
    service.always(verbatim(Hang()))
    aws.container(service.url)
    configured = bedrock(upstream.url, each=SIGNED, streaming={"first_token_timeout": "300ms"})
    async with open_house(configured) as house:
        response = await read(house)

        assert (response.status, (await only_record(house))["code"]) == (504, "upstream_timeout")


async def test_a_client_may_leave_while_credentials_are_waited_for(aws: Aws, upstream: Upstream, service: Upstream) -> None:
    service.always(verbatim(Gate("asked"), Hang()))
    aws.container(service.url)
    async with open_house(bedrock(upstream.url, each=SIGNED)) as house:
        await service.reached("asked")
        async with house.client() as client:
            await client.send_request("POST", CONVERSE_STREAM, KEY_HEADERS, ASK)
            await until(lambda: len(house.server.lifecycle) == 1)
            await until(lambda: bool(signer(house)._waiting))

        assert (await only_record(house))["outcome"] == "client_gone"
        assert not signer(house)._waiting
        assert upstream.connections == []


async def test_the_start_does_not_wait_for_credentials_nor_does_the_end(aws: Aws, upstream: Upstream, service: Upstream) -> None:
    service.always(verbatim(Gate("asked"), Hang()))
    aws.container(service.url)
    began = time.monotonic()
    async with open_house(bedrock(upstream.url, each=SIGNED)):
        await service.reached("asked")

    assert time.monotonic() - began < 10  # a search has 15 s
    await service.closed()
