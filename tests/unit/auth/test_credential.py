"""Exactly one credential is taken, from exactly the accepted places, and none is passed on."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.auth import CREDENTIAL_HEADERS, Credential, RequestHead, find_credential, strip_credential_query
from proxy.auth.credential import MAX_TOKEN
from proxy.errors import Unauthenticated
from proxy.headers import noted

Headers = list[tuple[bytes, bytes]]


def find(headers: Headers, query: bytes = b"", *, query_token: bool = False, method: bytes = b"POST") -> Credential | None:
    return find_credential(RequestHead(noted(headers), method, query=query), query_token=query_token)


def refusal(headers: Headers, query: bytes = b"", *, query_token: bool = False, method: bytes = b"POST") -> str:
    with pytest.raises(Unauthenticated) as caught:
        find(headers, query, query_token=query_token, method=method)
    return caught.value.reason


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        (b"Authorization", b"Bearer sk-1", "authorization"),
        (b"authorization", b"bearer sk-1", "authorization"),
        (b"AUTHORIZATION", b"BEARER  \tsk-1 ", "authorization"),
        (b"X-Api-Key", b"sk-1", "x-api-key"),
        (b"x-api-key", b" sk-1\t", "x-api-key"),
        (b"Api-Key", b"sk-1", "api-key"),
        (b"X-Goog-Api-Key", b"sk-1", "x-goog-api-key"),
    ],
)
def test_a_credential_is_found_in_every_accepted_header(name: bytes, value: bytes, place: str) -> None:
    found = find([(b"Host", b"h"), (name, value), (b"Accept", b"*/*")])

    assert found == Credential(place, "sk-1")


@pytest.mark.parametrize("name", [b"X-Auth-Token", b"Cookie", b"Proxy-Authorization", b"x_api_key", b"x-api-key "])
def test_other_headers_hold_no_credential(name: bytes) -> None:
    found = find([(name, b"Bearer sk-1")])

    assert found is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty_credential"),
        (b"  ", "empty_credential"),
        (b"Bearer", "empty_credential"),
        (b"Bearer  ", "empty_credential"),
        (b"Basic dXNlcjpwYXNz", "unsupported_scheme"),
        (b"sk-1", "unsupported_scheme"),
        (b"Bearersk-1", "unsupported_scheme"),
        (b"AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/bedrock/aws4_request, Signature=ab", "sigv4"),
        (b"AWS4-ECDSA-P256-SHA256 Credential=AKIA", "sigv4"),
        (b"Bearer a b", "malformed_credential"),
        (b"Bearer a\tb", "malformed_credential"),
        (b"Bearer a\x00b", "malformed_credential"),
        (b"Bearer a\x7fb", "malformed_credential"),
        (b"Bearer a\xc3\xa9", "malformed_credential"),
        (b"Bearer a\xa0", "malformed_credential"),
        (b"Bearer " + b"a" * (MAX_TOKEN + 1), "oversized_credential"),
    ],
)
def test_a_malformed_authorization_is_refused_for_its_reason(value: bytes, reason: str) -> None:
    refused = refusal([(b"Authorization", value)])

    assert refused == reason


def test_the_largest_credential_is_accepted() -> None:
    found = find([(b"x-api-key", b"a" * MAX_TOKEN)])

    assert found is not None
    assert len(found.token) == MAX_TOKEN


@pytest.mark.parametrize("name", [b"x-api-key", b"api-key", b"x-goog-api-key"])
@pytest.mark.parametrize(
    ("value", "reason"), [(b"", "empty_credential"), (b"a\x01", "malformed_credential"), (b"a" * 8193, "oversized_credential")]
)
def test_a_malformed_key_header_is_refused_for_its_reason(name: bytes, value: bytes, reason: str) -> None:
    refused = refusal([(name, value)])

    assert refused == reason


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Authorization", b"Bearer a"), (b"x-api-key", b"a")],
        [(b"Authorization", b"Bearer a"), (b"Authorization", b"Bearer a")],
        [(b"x-api-key", b"a"), (b"X-API-KEY", b"a")],
        [(b"api-key", b"a"), (b"x-goog-api-key", b"b")],
        [(b"Authorization", b""), (b"x-api-key", b"a")],
        [(b"x-api-key", b""), (b"x-api-key", b"a")],
        [(b"Authorization", b"AWS4-HMAC-SHA256 x"), (b"x-api-key", b"a")],
    ],
)
def test_several_credentials_are_refused_even_when_they_are_equal(headers: Headers) -> None:
    refused = refusal(headers)

    assert refused == "several_credentials"


def test_a_query_token_is_taken_where_it_is_switched_on() -> None:
    found = find([], b"a=1&access_token=ab%2Bc%3D&b", query_token=True, method=b"GET")

    assert found == Credential("access_token", "ab+c=")


@pytest.mark.parametrize(("switched_on", "method"), [(False, b"GET"), (True, b"POST"), (True, b"HEAD"), (True, b"get")])
def test_a_query_token_is_ignored_where_it_is_off_or_the_method_is_not_get(switched_on: bool, method: bytes) -> None:
    found = find([], b"access_token=abc", query_token=switched_on, method=method)

    assert found is None


@pytest.mark.parametrize("query", [b"", b"access_tokens=a", b"xaccess_token=a", b"token=a", b"ACCESS_TOKEN=a", b"a=access_token"])
def test_other_parameters_hold_no_credential(query: bytes) -> None:
    found = find([], query, query_token=True, method=b"GET")

    assert found is None


@pytest.mark.parametrize(
    ("headers", "query", "reason"),
    [
        ([], b"access_token=a&access_token=a", "several_credentials"),
        ([], b"access_token=a&access%5Ftoken=b", "several_credentials"),
        ([(b"x-api-key", b"a")], b"access_token=a", "several_credentials"),
        ([], b"access_token=", "empty_credential"),
        ([], b"access_token", "empty_credential"),
        ([], b"access_token=a%00b", "malformed_credential"),
        ([], b"access_token=a%20b", "malformed_credential"),
        ([], b"access_token=%C3%A9", "malformed_credential"),
    ],
)
def test_a_bad_query_token_is_refused_for_its_reason(headers: Headers, query: bytes, reason: str) -> None:
    refused = refusal(headers, query, query_token=True, method=b"GET")

    assert refused == reason


def test_a_credential_prints_without_its_token() -> None:
    credential = Credential("x-api-key", "canary-key")

    assert "canary" not in f"{credential!r}{credential}"
    assert "x-api-key" in repr(credential)


def test_everything_that_may_carry_a_secret_is_listed_for_stripping() -> None:
    assert {
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"cookie",
        b"proxy-authorization",
        b"x-amz-security-token",
    } == CREDENTIAL_HEADERS


@pytest.mark.parametrize(
    ("query", "stripped"),
    [
        (b"", b""),
        (b"a=1&key=x&b=2", b"a=1&b=2"),
        (b"key=x", b""),
        (b"key", b""),
        (b"access_token=x&ticket=y&key=z&a=", b"a="),
        (b"k%65y=x&a=1", b"a=1"),
        (b"a=1&&b=%2B+c&a=&a=1&", b"a=1&&b=%2B+c&a=&a=1&"),
        (b"Key=x&keys=y&monkey=z&a=key&%", b"Key=x&keys=y&monkey=z&a=key&%"),
        (b"alt=sse&key=x", b"alt=sse"),
        (b"$alt=sse&$key=x&oauth_token=y&%24key=z", b"$alt=sse"),
    ],
)
def test_credential_parameters_are_removed_and_nothing_else(query: bytes, stripped: bytes) -> None:
    result = strip_credential_query(query)

    assert result == stripped


_NAMES = st.sampled_from([b"key", b"access_token", b"ticket", b"k%65y", b"%6bey", b"a", b"keys", b"", b"Key", b"%zz"])
_VALUES = st.sampled_from([b"", b"=", b"=1", b"=a%26b", b"=+", b"==", b"=key", b"=\xff"])
_PARTS = st.one_of(st.builds(bytes.__add__, _NAMES, _VALUES), st.binary(max_size=6).filter(lambda part: b"&" not in part))


@given(st.lists(_PARTS, max_size=8))
def test_stripping_keeps_every_other_parameter_byte_for_byte_and_in_order(parts: list[bytes]) -> None:
    secret = {b"key", b"$key", b"access_token", b"oauth_token", b"ticket"}

    stripped = strip_credential_query(b"&".join(parts))

    kept = [part for part in parts if unquote_to_bytes(part.split(b"=")[0]) not in secret]
    assert stripped == b"&".join(kept)
    assert strip_credential_query(stripped) == stripped


# Tickets and cookies.


def find_cookie(*headers: tuple[bytes, bytes], query: bytes = b"") -> Credential | None:
    return find_credential(RequestHead(noted(headers), query=query), query_token=True, cookie=b"session")


@pytest.mark.parametrize("query", [b"ticket=t1", b"message=hi&ticket=t1", b"t%69cket=t%31&a=b"])
def test_a_ticket_is_taken_from_the_query_of_a_get(query: bytes) -> None:
    assert find([], query, method=b"GET") == Credential("ticket", "t1")


@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"DELETE"])
def test_no_other_method_takes_a_ticket(method: bytes) -> None:
    assert find([], b"ticket=t1", method=method) is None


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([], b"ticket=t1&ticket=t1"),
        ([], b"ticket=t1&access_token=k"),
        ([(b"Authorization", b"Bearer k")], b"ticket=t1"),
    ],
)
def test_a_ticket_beside_another_credential_is_one_too_many(headers: Headers, query: bytes) -> None:
    assert refusal(headers, query, query_token=True, method=b"GET") == "several_credentials"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Cookie", b"session=k1")],
        [(b"Cookie", b"a=1; session=k1; b=2")],
        [(b"Cookie", b"a=1"), (b"cookie", b"session=k1;b")],
    ],
)
def test_the_configured_cookie_holds_a_credential(headers: Headers) -> None:
    assert find_cookie(*headers) == Credential("cookie", "k1")


@pytest.mark.parametrize("cookies", [b"Session=k1", b"xsession=k1", b"session", b"a=session=k1", b"a", b""])
def test_other_cookies_hold_none(cookies: bytes) -> None:
    assert find_cookie((b"Cookie", cookies)) is None


def test_without_cookie_mode_no_cookie_counts() -> None:
    assert find([(b"Cookie", b"session=k1")], method=b"GET") is None


@pytest.mark.parametrize(
    ("header", "query", "place"),
    [
        ((b"Authorization", b"Bearer k2"), b"", "authorization"),
        ((b"X-Api-Key", b"k2"), b"", "x-api-key"),
        ((b"Accept", b"*/*"), b"ticket=k2", "ticket"),
        ((b"Accept", b"*/*"), b"access_token=k2", "access_token"),
    ],
)
def test_a_cookie_counts_only_where_there_is_no_other_credential(header: tuple[bytes, bytes], query: bytes, place: str) -> None:
    """Browsers send it whether the page wants it or not."""
    assert find_cookie((b"Cookie", b"session=k1"), header, query=query) == Credential(place, "k2")


def test_two_cookies_of_one_name_are_refused() -> None:
    """A neighbour under the same domain can set a second one, and nobody knows which comes first."""
    with pytest.raises(Unauthenticated) as caught:
        find_cookie((b"Cookie", b"session=k1; session=k1"))

    assert caught.value.reason == "several_credentials"


@pytest.mark.parametrize(
    ("value", "reason"), [(b"", "empty_credential"), (b"a b", "malformed_credential"), (b"x" * 9000, "oversized_credential")]
)
def test_a_cookie_must_hold_what_a_header_may_hold(value: bytes, reason: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        find_cookie((b"Cookie", b"session=" + value))

    assert caught.value.reason == reason
