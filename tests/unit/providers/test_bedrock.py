from __future__ import annotations

import pytest

from proxy import settings
from proxy.providers.base import Asked, Refusal
from proxy.providers.bedrock import Bedrock
from tests.support.bedrock import CALL_ERRORS

CONFIG = settings.Upstream(kind="bedrock")
BEDROCK = Bedrock(CONFIG, b"")
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-v1:0"


def asked(path: str, model: str, api: str = "converse", *, stream: bool = False, query: bytes = b"") -> Asked:
    return Asked(api, path.encode(), query, model, stream)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/model/anthropic.claude-v1%3A0/converse-stream", "anthropic.claude-v1:0"),
        ("/model/anthropic.claude-v1:0/converse-stream", "anthropic.claude-v1:0"),
        ("/model/%61nthropic.claude-v1%3a0/converse-stream", "anthropic.claude-v1:0"),
        ("/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-v1%3A0/invoke", ARN),
        ("/model/%C3%BC/invoke", "ü"),
    ],
)
def test_a_path_that_names_the_model_stays_as_the_client_wrote_it(path: str, model: str) -> None:
    assert BEDROCK.target(asked(path, model, query=b"?a=%2B")) == path.encode() + b"?a=%2B"


@pytest.mark.parametrize(
    ("api", "stream", "verb"),
    [
        ("converse", False, "converse"),
        ("converse", True, "converse-stream"),
        ("invoke", False, "invoke"),
        ("invoke", True, "invoke-with-response-stream"),
        ("bedrock_tokens", False, "count-tokens"),
    ],
)
@pytest.mark.parametrize("path", ["/model/claude/converse", "/v1/chat/completions", "", "/model/claude/x/y"])
def test_another_model_stands_in_the_path_as_one_segment(path: str, api: str, stream: bool, verb: str) -> None:
    target = BEDROCK.target(asked(path, ARN, api, stream=stream, query=b"?a=1"))

    model = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-v1%3A0"
    assert target == f"/model/{model}/{verb}?a=1".encode()


def test_everything_is_below_the_configured_base() -> None:
    provider = Bedrock(CONFIG, b"/bedrock/")

    assert provider.target(asked("/model/m/invoke", "m")) == b"/bedrock/model/m/invoke"
    assert provider.target(asked("/model/m/invoke", "n", "invoke")) == b"/bedrock/model/n/invoke"


def test_a_key_is_a_bearer_key() -> None:
    assert BEDROCK.credential("bedrock-api-key-1") == ((b"Authorization", b"Bearer bedrock-api-key-1"),)
    assert BEDROCK.credential("") == ()


JUDGED = {
    "ThrottlingException": Refusal("rate_limited", transient=True),
    "ModelNotReadyException": Refusal("rate_limited", transient=True),
    "ServiceUnavailableException": Refusal("server_error", transient=True),
    "InternalServerException": Refusal("server_error", transient=True),
    "ModelTimeoutException": Refusal("refused", transient=True),
    "ModelErrorException": Refusal("refused", transient=True),
    "ModelStreamErrorException": Refusal("refused", transient=True),
    "ServiceQuotaExceededException": Refusal("refused", transient=False),
    "ValidationException": Refusal("refused", transient=False),
    "AccessDeniedException": Refusal("credentials", transient=True),
    "ResourceNotFoundException": Refusal("refused", transient=False),
}


@pytest.mark.parametrize("form", ["{}", "{}:http://internal.amazon.com/coral/com.amazon.bedrock/", "com.amazon.coral#{}", " {} "])
@pytest.mark.parametrize("name", CALL_ERRORS)
def test_an_exception_is_judged_by_its_name(name: str, form: str) -> None:
    headers = {b"x-amzn-errortype": form.format(name).encode()}

    assert BEDROCK.refusal(CALL_ERRORS[name], headers, b'{"message":"m"}') == JUDGED[name]
    assert BEDROCK.refusal(400, headers, b"") == JUDGED[name]


@pytest.mark.parametrize(
    "name",
    [
        "UnrecognizedClientException",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
    ],
)
def test_what_is_wrong_with_our_own_credentials_is_no_business_of_the_client(name: str) -> None:
    assert BEDROCK.refusal(403, {b"x-amzn-errortype": name.encode()}, b"").reason == "credentials"


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        (400, Refusal("refused", transient=False)),
        (401, Refusal("credentials", transient=True)),
        (403, Refusal("credentials", transient=True)),
        (404, Refusal("refused", transient=False)),
        (408, Refusal("refused", transient=True)),
        (424, Refusal("refused", transient=True)),
        (429, Refusal("rate_limited", transient=True)),
        (500, Refusal("server_error", transient=True)),
        (502, Refusal("server_error", transient=True)),
        (503, Refusal("server_error", transient=True)),
        (504, Refusal("server_error", transient=True)),
    ],
)
@pytest.mark.parametrize("headers", [{}, {b"x-amzn-errortype": b"NewException"}, {b"x-amzn-errortype": b":\xff"}])
def test_without_a_known_name_the_status_speaks(status: int, refusal: Refusal, headers: dict[bytes, bytes]) -> None:
    assert BEDROCK.refusal(status, headers, b"<html>") == refusal


def test_the_request_s_id_is_amazon_s() -> None:
    assert BEDROCK.request_id({b"x-amzn-requestid": b"b0c7"}) == "b0c7"


def test_it_speaks_converse_and_the_models_own_apis() -> None:
    assert BEDROCK.apis == {"converse", "invoke", "bedrock_tokens"}
