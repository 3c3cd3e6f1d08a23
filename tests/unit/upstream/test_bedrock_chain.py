"""What the SDK's chain finds in each of its places, and how a request is signed with it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped]

from proxy.headers import Header
from proxy.settings import Origin
from proxy.tasks import Tasks
from proxy.upstream import bedrock_chain
from proxy.upstream.bedrock_chain import Access, Bearer, Given, NoAccess, Search, Signature
from tests.support.aws import ACCESS, ROLE, SECRET, TOKEN, Aws, from_container, from_machine, from_sts, sts_refuses
from tests.support.bedrock import signed_with, signer_of
from tests.support.http1 import Head
from tests.support.steps import RequestSeen
from tests.support.upstream import Gate, Hang, Upstream, answer, closed_port, verbatim

URL = "https://bedrock-runtime.us-east-1.amazonaws.com"


async def find(region: str | None = None, endpoint_url: str | None = None, *, credential: bool = False) -> Access:
    return await asyncio.to_thread(Search(region, endpoint_url, credential=credential).run)


def request(headers: tuple[Header, ...], url: str = URL, path: str = "/", method: str = "POST", body: bytes = b"") -> RequestSeen:
    """Return the request that a server at *url* would see."""
    lines = ((b"Host", url.split("://")[1].encode()), *headers)
    head = Head(b"", b"", tuple(lines))
    return RequestSeen(head, method, path.encode(), b"HTTP/1.1", 0, True, 0.0, body, complete=True)


def access_key(found: Access) -> str:
    """Return whose key signs."""
    return signer_of(request(found.authorization.headers("POST", URL, (), b"")))[0]


# Where the runtime is.


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "bedrock-runtime.us-east-1.amazonaws.com"),
        ("eu-central-1", "bedrock-runtime.eu-central-1.amazonaws.com"),
        ("cn-north-1", "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("eusc-de-east-1", "bedrock-runtime.eusc-de-east-1.amazonaws.eu"),
    ],
)
async def test_the_region_and_its_partition_name_the_host(aws: Aws, region: str, host: str) -> None:
    found = await find(region, credential=True)

    assert found.origin == Origin("https", host, 443)


@pytest.mark.parametrize("place", ["AWS_REGION", "AWS_DEFAULT_REGION", "profile"])
async def test_a_region_that_is_not_configured_comes_from_the_environment_or_a_profile(aws: Aws, place: str) -> None:
    if place == "profile":
        aws.config.write_text("[profile work]\nregion = eu-west-3\n")
        aws.set(AWS_PROFILE="work")
    else:
        aws.set(**{place: "eu-west-3"})

    found = await find(credential=True)

    assert found.origin.host == "bedrock-runtime.eu-west-3.amazonaws.com"


async def test_the_configured_region_comes_before_any_other(aws: Aws) -> None:
    aws.keys(region="eu-west-3")
    aws.set(AWS_REGION="eu-west-2")

    found = await find("us-west-2")

    assert found.origin.host == "bedrock-runtime.us-west-2.amazonaws.com"
    assert signer_of(request(found.authorization.headers("POST", URL, (), b"")))[1:] == ("us-west-2", "bedrock")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL"])
async def test_the_environment_may_name_another_endpoint(aws: Aws, name: str) -> None:
    aws.set(**{name: "http://127.0.0.1:9"})

    assert (await find("us-east-1", credential=True)).origin == Origin("http", "127.0.0.1", 9)


async def test_the_configured_endpoint_comes_before_the_environment_s(aws: Aws) -> None:
    aws.set(AWS_ENDPOINT_URL_BEDROCK_RUNTIME="http://127.0.0.1:9")

    found = await find("us-east-1", "https://vpce.example/bedrock", credential=True)

    assert found.origin == Origin("https", "vpce.example", 443, "/bedrock")


async def test_the_sdk_s_other_settings_count_too(aws: Aws) -> None:
    aws.set(AWS_USE_FIPS_ENDPOINT="true")

    assert (await find("us-east-1", credential=True)).origin.host == "bedrock-runtime-fips.us-east-1.amazonaws.com"


async def test_a_missing_region_is_told(aws: Aws) -> None:
    with pytest.raises(NoAccess, match="no region is set"):
        await find(credential=True)


async def test_an_endpoint_of_the_environment_s_with_a_path_is_refused(aws: Aws) -> None:
    """The paths of requests are made before it is known."""
    aws.set(AWS_ENDPOINT_URL="http://127.0.0.1:9/aws")

    with pytest.raises(NoAccess, match="endpoint_url"):
        await find("us-east-1", credential=True)


# What to authenticate with.


async def test_keys_of_the_environment_sign_and_do_not_expire(aws: Aws) -> None:
    aws.keys()

    found = await find()

    assert (access_key(found), found.found_in, found.expires) == (ACCESS, "env", None)


async def test_keys_of_a_profile_sign(aws: Aws) -> None:
    aws.credentials.write_text("[work]\naws_access_key_id = AKIDFILE\naws_secret_access_key = x\n")
    aws.set(AWS_PROFILE="work", AWS_REGION="us-east-1")

    assert access_key(await find()) == "AKIDFILE"


async def test_a_program_of_a_profile_s_is_run(aws: Aws, tmp_path: Path) -> None:
    told = '{"Version": 1, "AccessKeyId": "AKIDPROGRAM", "SecretAccessKey": "x"}'
    (tmp_path / "told.json").write_text(told)
    aws.config.write_text(f"[default]\nregion = us-east-1\ncredential_process = cat {tmp_path}/told.json\n")

    assert access_key(await find()) == "AKIDPROGRAM"


async def test_a_container_s_service_is_asked_and_its_credentials_expire(aws: Aws, upstream: Upstream) -> None:
    upstream.script(from_container("ASIACONTAINER", 3600))
    aws.container(upstream.url)

    found = await find()

    assert access_key(found) == "ASIACONTAINER"
    assert found.expires is not None
    assert abs(found.expires - time.time() - 3600) < 10
    headers = dict(found.authorization.headers("POST", URL, (), b""))
    assert headers[b"X-Amz-Security-Token"] == TOKEN.encode()


async def test_a_role_is_assumed(aws: Aws, upstream: Upstream) -> None:
    upstream.script(from_sts("ASIAROLE", 3600))
    aws.role(upstream.url)

    found = await find()

    asked = await upstream.request()
    assert b"Action=AssumeRole&" in asked.body
    assert signer_of(asked)[0] == ACCESS
    assert (access_key(found), found.found_in) == ("ASIAROLE", "assume-role")
    assert found.expires is not None


async def test_a_web_identity_is_exchanged(aws: Aws, upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(from_sts("ASIAWEB", 3600, "AssumeRoleWithWebIdentity"))
    (tmp_path / "token").write_text("a.web.identity")
    aws.set(
        AWS_ROLE_ARN=ROLE,
        AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token"),
        AWS_ENDPOINT_URL_STS=upstream.url,
        AWS_REGION="us-east-1",
    )

    found = await find()

    assert b"WebIdentityToken=a.web.identity" in (await upstream.request()).body
    assert access_key(found) == "ASIAWEB"


async def test_the_machine_s_own_role_is_asked_for(aws: Aws, upstream: Upstream) -> None:
    told = from_machine("ASIAMACHINE", 3600)
    upstream.script(answer(b"a-token"), answer(b"the-role"), told)
    aws.machine(upstream.url)

    found = await find()

    assert [request.method for request in upstream.requests] == ["PUT", "GET", "GET"]
    assert (access_key(found), found.found_in) == ("ASIAMACHINE", "iam-role")
    assert found.expires is not None


async def test_credentials_that_live_for_weeks_are_not_watched(aws: Aws, upstream: Upstream) -> None:
    upstream.script(from_container("ASIACONTAINER", 30 * 86_400))
    aws.container(upstream.url)

    assert (await find()).expires is None


async def test_a_bearer_token_of_the_environment_s_comes_before_keys(aws: Aws) -> None:
    aws.keys()
    aws.set(AWS_BEARER_TOKEN_BEDROCK="bedrock-api-key-1")

    found = await find()

    assert isinstance(found.authorization, Bearer)
    assert found.authorization.headers("POST", URL, (), b"") == ((b"Authorization", b"Bearer bedrock-api-key-1"),)


async def test_where_the_configuration_has_a_credential_nothing_is_added(aws: Aws) -> None:
    aws.keys()
    aws.set(AWS_BEARER_TOKEN_BEDROCK="bedrock-api-key-1")

    found = await find(credential=True)

    assert isinstance(found.authorization, Given)
    assert found.authorization.headers("POST", URL, (), b"") == ()


# What goes wrong.


async def test_no_credentials_anywhere_are_told(aws: Aws) -> None:
    with pytest.raises(NoAccess, match="no AWS credentials"):
        await find("us-east-1")


async def test_a_role_that_may_not_be_assumed_is_told_by_the_service_s_code(aws: Aws, upstream: Upstream) -> None:
    upstream.always(sts_refuses("AccessDenied"))
    aws.role(upstream.url)

    with pytest.raises(NoAccess) as failed:
        await find()

    assert str(failed.value) == "AssumeRole: AccessDenied"


async def test_other_troubles_are_told_by_their_class_alone(aws: Aws) -> None:
    """Their messages quote what files and services hold."""
    aws.set(AWS_PROFILE=SECRET, AWS_REGION="us-east-1")

    with pytest.raises(NoAccess) as failed:
        await find()

    assert str(failed.value) == "ProfileNotFound"


@pytest.mark.parametrize("content", ["[]", "{}", '{"AccessKeyId": 7}'])
async def test_nonsense_of_a_container_s_service_is_told(aws: Aws, upstream: Upstream, content: str) -> None:
    upstream.always(answer(content.encode()))
    aws.container(upstream.url)

    with pytest.raises(NoAccess):
        await find()


async def test_a_service_that_cannot_be_reached_is_told(aws: Aws) -> None:
    aws.set(AWS_MAX_ATTEMPTS="1")
    with closed_port() as port:
        aws.role(f"http://127.0.0.1:{port}")

        with pytest.raises(NoAccess, match="EndpointConnectionError"):
            await find()


async def test_a_search_has_an_end(aws: Aws, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bedrock_chain, "PATIENCE", 0.2)
    upstream.always(verbatim(Hang()))
    aws.role(upstream.url)

    with pytest.raises(NoAccess, match=r"within 0\.2s"):
        await find()


async def test_a_search_can_be_given_up(aws: Aws, upstream: Upstream) -> None:
    upstream.always(verbatim(Gate("asked"), Hang()))
    aws.role(upstream.url)
    search = Search(None, None, credential=False)
    running = Tasks().spawn(asyncio.to_thread(search.run), name="search")
    await upstream.reached("asked")

    search.stop()

    with pytest.raises(NoAccess, match="given up"):
        await running
    search.stop()


async def test_a_search_that_was_given_up_does_not_begin(aws: Aws) -> None:
    search = Search("us-east-1", None, credential=True)

    search.stop()

    with pytest.raises(NoAccess, match="given up"):
        await asyncio.to_thread(search.run)


# Signatures.


SIGNATURE = Signature(ReadOnlyCredentials(ACCESS, SECRET, TOKEN), "us-east-1")


@pytest.mark.parametrize(
    "path",
    [
        "/model/anthropic.claude-v1%3A0/converse-stream",
        "/model/anthropic.claude-v1:0/invoke",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.claude-v1%3A0/converse",
        "/model/%C3%BC~a_b-c.d/converse?b=2&a=%2B&c",
    ],
)
@pytest.mark.parametrize(
    "url", [URL, "http://127.0.0.1:8080", "https://vpce.example:8443", "http://[::1]:9"], ids=["aws", "plain", "port", "IPv6"]
)
@pytest.mark.parametrize(
    "sent",
    [
        (),
        ((b"Content-Type", b"application/json"), (b"User-Agent", b"boto3"), (b"Accept", b"*/*")),
        ((b"X-Amzn-Bedrock-Trace", b"ENABLED"), (b"x-amzn-bedrock-guardrailIdentifier", b" a  b ")),
    ],
    ids=["nothing", "usual", "bedrock's own"],
)
def test_aws_s_own_check_accepts_a_signature(path: str, url: str, sent: tuple[Header, ...]) -> None:
    made = SIGNATURE.headers("POST", url + path, sent, b'{"messages":[]}')

    seen = request((*sent, *made), url, path, body=b'{"messages":[]}')
    assert signed_with(seen, SECRET)
    assert signer_of(seen) == (ACCESS, "us-east-1", "bedrock")
    assert seen.header("x-amz-security-token") == TOKEN


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"{ }"},
        {"path": "/model/m/converse-stream"},
        {"path": "/model/%6D/converse"},
        {"url": "https://bedrock-runtime.us-west-2.amazonaws.com"},
        {"method": "GET"},
    ],
    ids=["body", "path", "another spelling of the path", "host", "method"],
)
def test_a_signature_is_of_these_bytes_and_no_others(change: dict[str, str]) -> None:
    made = SIGNATURE.headers("POST", f"{URL}/model/m/converse", (), b"{}")

    seen = {"url": URL, "path": "/model/m/converse", "body": b"{}", **change}
    assert not signed_with(request(made, **seen), SECRET)  # type: ignore[arg-type]


def test_headers_that_anybody_may_change_on_the_way_are_not_signed() -> None:
    sent = ((b"Accept", b"*/*"), (b"X-Request-Id", b"1"), (b"Content-Type", b"a/b"), (b"X-Amzn-Bedrock-Accept", b"c/d"))

    made = dict(SIGNATURE.headers("POST", URL, sent, b""))

    signed = made[b"Authorization"].split(b"SignedHeaders=")[1].split(b",")[0]
    assert signed == b"content-type;host;x-amz-date;x-amz-security-token;x-amzn-bedrock-accept"


async def test_secrets_are_in_no_repr(aws: Aws) -> None:
    aws.keys(token=TOKEN)
    signed = await find()
    aws.set(AWS_BEARER_TOKEN_BEDROCK="s3cr3t-key")
    bearer = await find()

    assert "s3cr3t" not in repr(signed) + repr(bearer)


def test_the_sdk_is_loaded_only_where_bedrock_is_configured() -> None:
    """It costs half a second and tens of megabytes."""
    ask = "import sys, proxy.server; print([name for name in sys.modules if name in ('botocore', 'aiobotocore')])"

    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"
