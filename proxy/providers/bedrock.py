"""Amazon Bedrock's runtime: models in the path, a signature or a bearer key, and refusals named by a header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from proxy.providers.base import Asked, Provider, Refusal

_VERBS: Final = {
    ("converse", False): b"converse",
    ("converse", True): b"converse-stream",
    ("invoke", False): b"invoke",
    ("invoke", True): b"invoke-with-response-stream",
    ("bedrock_tokens", False): b"count-tokens",
}
_RATE_LIMITED: Final = Refusal("rate_limited", transient=True)
_SERVER_ERROR: Final = Refusal("server_error", transient=True)
_CREDENTIALS: Final = Refusal("credentials", transient=True)
_OF_THE_MODEL: Final = Refusal("refused", transient=True)  # the model's own failure, which may be another's success
_REFUSED: Final = Refusal("refused", transient=False)

# By the name in x-amzn-ErrorType; where there is none, or another, the status speaks.
_NAMED: Final[Mapping[str, Refusal]] = {
    "ThrottlingException": _RATE_LIMITED,
    "TooManyRequestsException": _RATE_LIMITED,
    "ModelNotReadyException": _RATE_LIMITED,
    "ServiceUnavailableException": _SERVER_ERROR,
    "InternalServerException": _SERVER_ERROR,
    "ModelTimeoutException": _OF_THE_MODEL,
    "ModelErrorException": _OF_THE_MODEL,
    "ModelStreamErrorException": _OF_THE_MODEL,
    "AccessDeniedException": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "ExpiredTokenException": _CREDENTIALS,
    "InvalidSignatureException": _CREDENTIALS,
    "IncompleteSignatureException": _CREDENTIALS,
    "MissingAuthenticationTokenException": _CREDENTIALS,
    "ServiceQuotaExceededException": _REFUSED,  # what the request asks for is more than the account may have
    "ValidationException": _REFUSED,
    "ResourceNotFoundException": _REFUSED,
}


class Bedrock(Provider):
    """One region's runtime. `api_key` is a Bedrock API key; without one the requests are signed, which is not done here."""

    speaks = frozenset({"converse", "invoke", "bedrock_tokens"})

    def target(self, asked: Asked) -> bytes:
        # the client's own spelling stays: signatures cover the bytes of the path
        if _model_in(asked.path) == asked.model.encode():
            return self._base + asked.path + asked.query
        verb = _VERBS[asked.api, asked.stream]
        return b"%b/model/%b/%b%b" % (self._base, quote(asked.model, safe="").encode(), verb, asked.query)

    def credential(self, key: str) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"Authorization", b"Bearer " + key.encode()),) if key else ()

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> Refusal:
        # Name, Name:http://… or namespace#Name
        name = headers.get(b"x-amzn-errortype", b"").decode("latin-1").partition(":")[0].rpartition("#")[2].strip()
        return _NAMED.get(name) or _by_status(status)


def _model_in(path: bytes) -> bytes | None:
    parts = path.split(b"/")
    return unquote_to_bytes(parts[2]) if len(parts) == 4 and parts[1] == b"model" else None


def _by_status(status: int) -> Refusal:
    if status == 429:
        return _RATE_LIMITED
    if status in (401, 403):
        return _CREDENTIALS
    if status >= 500:
        return _SERVER_ERROR
    return _OF_THE_MODEL if status in (408, 424) else _REFUSED
