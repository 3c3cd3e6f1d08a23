from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadRequest, ExpectationFailed, ProxyError, UnsupportedFraming, UnsupportedMedia, UnsupportedVersion
from proxy.headers import Header, noted, request_id_from, validate_fields, validate_framing, validate_media, validate_target

CONTENT_TYPE = (b"Content-Type", b"application/json")


@pytest.mark.parametrize(
    "raw",
    [
        [],
        [(b"Transfer-Encoding", b"chunked")],
        [(b"transfer-encoding", b" Chunked ")],
        [(b"Content-Length", b"0")],
        [(b"Expect", b"100-Continue")],
    ],
)
def test_plain_framing_is_accepted(raw: list[Header]) -> None:
    validate_framing((1, 1), noted(raw))


@pytest.mark.parametrize(
    ("version", "raw", "error"),
    [
        ((2, 0), [], UnsupportedVersion),
        ((1, 2), [], UnsupportedVersion),
        ((0, 9), [], UnsupportedVersion),
        ((1, 1), [(b"Transfer-Encoding", b",chunked")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"gzip, chunked")], UnsupportedFraming),
        ((1, 1), [(b"Transfer-Encoding", b"chunked, gzip")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"chunked, chunked")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"identity")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"\x0bchunked\x0b")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"chunked"), (b"transfer-encoding", b"chunked")], BadRequest),
        ((1, 1), [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")], BadRequest),
        ((1, 1), [(b"Content-Length", b"3"), (b"Content-Length", b"3")], BadRequest),
        ((1, 1), [(b"Content-Length", b"+3")], BadRequest),
        ((1, 1), [(b"Content-Length", b"3, 3")], BadRequest),
        ((1, 0), [(b"Transfer-Encoding", b"chunked")], BadRequest),
        ((1, 1), [(b"Expect", b"teapot")], ExpectationFailed),
    ],
)
def test_framing_that_can_be_read_in_two_ways_is_refused(
    version: tuple[int, int], raw: list[Header], error: type[ProxyError]
) -> None:
    """P25: what the HTTP parser in front lets through."""
    with pytest.raises(error):
        validate_framing(version, noted(raw))


@pytest.mark.parametrize(
    ("version", "raw"),
    [
        ((1, 1), [(b"hOST", b"")]),
        ((1, 0), []),
        ((1, 1), [(b"Host", b"p"), (b"Accept", b"a"), (b"Accept", b"b"), (b"Cookie", b"c"), (b"Cookie", b"d")]),
        ((1, 1), [(b"Host", b"p"), (b"User-Agent", b"a"), (b"X-User-Agent", b"a"), (b"Sec-WebSocket-Key", b"a")]),
    ],
)
def test_head_that_says_one_thing_is_accepted(version: tuple[int, int], raw: list[Header]) -> None:
    validate_fields(version, raw)


@pytest.mark.parametrize(
    ("version", "raw"),
    [
        ((1, 1), []),
        ((1, 1), [(b"X-Host", b"p")]),
        ((1, 1), [(b"Host", b"p"), (b"host", b"p")]),
        ((1, 0), [(b"Host", b"p"), (b"Host", b"q")]),
        ((1, 1), [(b"Host", b"p"), (b"Content-Type", b"a/b"), (b"CONTENT-TYPE", b"a/b")]),
        ((1, 1), [(b"Host", b"p"), (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")]),
        ((1, 1), [(b"Host", b"p"), (b"User-Agent", b"a"), (b"X", b"a"), (b"User-Agent", b"b")]),
        ((1, 1), [(b"Host", b"p"), (b"Sec-WebSocket-Key1", b"a")]),
    ],
)
def test_head_that_leaves_open_what_it_says_is_refused(version: tuple[int, int], raw: list[Header]) -> None:
    with pytest.raises(BadRequest):
        validate_fields(version, raw)


@pytest.mark.parametrize(
    "raw",
    [
        [],
        [CONTENT_TYPE],
        [(b"Content-Type", b"application/json; charset=utf-8")],
        [(b"content-type", b'application/json;Charset="UTF-8"')],
        [(b"Content-Type", b"text/plain; charset = us-ascii ; x=y")],
        [(b"Content-Type", b"multipart/form-data; charset=iso-8859-1; boundary=b")],
        [(b"Content-Type", b"")],
        [(b"Content-Encoding", b"Identity")],
    ],
)
def test_body_that_is_what_its_bytes_say_is_accepted(raw: list[Header]) -> None:
    validate_media(noted(raw))


@pytest.mark.parametrize(
    "raw",
    [
        [(b"Content-Encoding", b"gzip")],
        [(b"Content-Encoding", b"")],
        [(b"Content-Encoding", b"identity"), (b"content-encoding", b"gzip")],
        [(b"Content-Type", b"application/json; charset=utf-7")],
        [(b"Content-Type", b"application/json;x=y;CHARSET = 'utf-16'")],
        [(b"Content-Type", b"multipart/form-data; boundary=b; charset=utf-7")],
        [(b"Content-Type", b"multipart/form-data; charset=utf-8; charset=utf-7; boundary=b")],
        [(b"Content-Type", b"application/json; charset=utf-8-sig")],
        [(b"Content-Type", b"application/json; charset=utf-8 x")],
        [(b"Content-Type", b"application/json; charset*=utf-7")],
        [(b"Content-Type", b"application/json; charset=")],
        [(b"Content-Type", b"Application/x-www-form-urlencoded")],
        [(b"Content-Type", b"application/x-www-form-urlencoded; charset=utf-8")],
    ],
)
def test_body_that_others_could_read_in_another_way_is_refused(raw: list[Header]) -> None:
    """Python and iconv know a charset in which `+AG0-odel` is a second `model`; and `&model=x` may stand in a text."""
    with pytest.raises(UnsupportedMedia):
        validate_media(noted(raw))


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/chat/completions",
        b"/",
        b"/?",
        b"/v1/models?a=1&a=&b=%2B+c&d=%2e%2e/..//;\\",
        b"/v1/models/openai%2Fgpt-4o-mini",
        b"/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        b"/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x-v1%3A0/converse-stream",
        b"/upstream/openai/v1/files/a%2Fb;v=1//c?x=%zz",
        b"/.well-known/x",
        b"/a...b/..c/d..",
        b"/caf%C3%A9",
    ],
)
def test_target_passes_byte_for_byte(target: bytes) -> None:
    """P24."""
    path, query = validate_target(target)

    assert path + query == target
    assert query[:1] in (b"", b"?")


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"v1/models",
        b"*",
        b"http://evil.example/p?q=1",
        b"//evil.example/x",
        b"/\\evil.example/x",
        b"@evil.example/",
        b"/v1/x%2Fy/%2e%2e/z?a=1&a=&b=%2B+c",
        b"/v1/chat%2Fcompletions",
        b"/v1/../admin",
        b"/v1/.",
        b"/v1/%2E%2e/x",
        b"/v1/.%2e",
        b"/v1/gpt%2E4",
        b"/v1//models",
        b"/v1/models;x=1",
        b"/v1/models%5Cx",
        b"/v1/%zz",
        b"/v1/%4",
        b"/v1/x%00",
        b"/v1/mo dels",
        b"/v1/models#x",
        b"/v1/models\x00",
        b"/v1/models?\r\nHost: evil",
        b"/v1/models?a b",
        b"/v1/caf\xc3\xa9",
        b"/upstream/openai/v1/files/../organization",
        b"/upstream/openai/v1/files/%2e%2E/organization",
        b"/upstream/openai/v1/files/..%2forganization",
        b"/upstream/openai/v1/files%5c..%5Corganization",
        b"/upstream/openai/v1/files/..;/organization",
        b"/upstream/openai/v1/files\\x",
        b"/model/..%2F/converse",
    ],
)
def test_target_that_two_servers_might_read_in_two_ways_is_refused(target: bytes) -> None:
    """P24, P26: and the answer repeats nothing of it."""
    with pytest.raises(BadRequest) as caught:
        validate_target(target)

    assert "evil" not in caught.value.public


@pytest.mark.parametrize("target", [b"//evil.example/x", b"http://evil.example/", b"@evil.example/", b"*"])
def test_target_that_could_name_another_host_is_told_what_a_target_is(target: bytes) -> None:
    """P26: joined to an origin, it would be somebody else's."""
    with pytest.raises(BadRequest, match="must begin with one slash"):
        validate_target(target)


@given(target=st.text("/.%2eEfF5cC;?a\\", max_size=12).map(lambda text: b"/upstream/x/" + text.encode()))
def test_no_accepted_target_climbs_out_of_its_prefix(target: bytes) -> None:
    """Not even at a server that decodes first, resolves later, and drops path parameters."""
    try:
        path, _ = validate_target(target)
    except BadRequest:
        return

    decoded = path.lower().replace(b"%2e", b".").replace(b"%2f", b"/").replace(b"%5c", b"/").replace(b"\\", b"/")
    assert not {b".", b".."} & {segment.partition(b";")[0] for segment in decoded.split(b"/")}


@pytest.mark.parametrize("value", [b"req-1", b"A.b_c-9", b"x" * 64])
def test_well_formed_request_id_is_kept(value: bytes) -> None:
    assert request_id_from(noted([CONTENT_TYPE, (b"X-Request-ID", value)])) == value.decode()


@pytest.mark.parametrize("values", [(), (b"",), (b"x" * 65,), (b"a b",), (b'a"b',), (b"\xe9",), (b"a\n",), (b"a", b"b")])
def test_any_other_request_id_is_ignored(values: tuple[bytes, ...]) -> None:
    assert request_id_from(noted([(b"x-request-id", value) for value in values])) is None
