from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.multipart import HEAD_LIMIT, NAME_LIMIT, read_form, read_form_for
from proxy.errors import BadRequest

TYPE = "multipart/form-data; boundary=----b"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav'
MODEL = b'Content-Disposition: form-data; name="model"'


def form(*parts: tuple[bytes, bytes], boundary: bytes = b"----b") -> bytes:
    return b"".join(b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head, content) for head, content in parts) + b"--%b--\r\n" % boundary


def named(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return b'Content-Disposition: form-data; name="%b"' % name, value


def refused(body: bytes, content_type: str = TYPE) -> BadRequest:
    with pytest.raises(BadRequest) as raised:
        read_form(body, content_type)
    return raised.value


def test_a_form_s_model_is_found_among_its_fields() -> None:
    body = form((FILE, b"RIFF\r\n\x00\xff--b"), named(b"model", b"whisper-1"), named(b"language", b"de"))

    model, stream, place = read_form(body, TYPE)

    assert (model, stream) == ("whisper-1", False)
    assert body[place.start : place.end] == b"whisper-1"


def test_a_form_need_not_name_the_model_that_the_path_names() -> None:
    body = form((FILE, b"RIFF"), named(b"stream", b"true"))

    stream, place = read_form_for(body, TYPE)

    assert stream
    assert place.model is None
    assert place.with_model("m") == form((MODEL, b"m"), (FILE, b"RIFF"), named(b"stream", b"true"))
    assert read_form(place.with_model("m"), TYPE)[0] == "m"


@pytest.mark.parametrize("value", [b"whisper-1", b"", b"\xff"])
def test_whatever_a_form_calls_the_model_that_the_path_names_is_replaced(value: bytes) -> None:
    _, place = read_form_for(form((MODEL, value), (FILE, b"RIFF")), TYPE)

    assert place.model == value.decode("latin-1")
    assert place.with_model("m") == form((MODEL, b"m"), (FILE, b"RIFF"))


def test_two_models_are_too_many_also_where_the_path_names_one() -> None:
    with pytest.raises(BadRequest):
        read_form_for(form((MODEL, b"a"), (MODEL, b"b")), TYPE)


def test_replacing_the_model_changes_no_other_byte() -> None:
    body = form((FILE, b'\r\n\r\nname="model"\r\n'), (MODEL, b"whisper-1"), named(b"x", b"whisper-1"))

    place = read_form(body, TYPE)[2]

    assert place.with_model("other") == form((FILE, b'\r\n\r\nname="model"\r\n'), (MODEL, b"other"), named(b"x", b"whisper-1"))


@given(
    st.binary(max_size=60),
    st.from_regex(r"[A-Za-z0-9._:/-]{1,20}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9'()+_,./:=?-]{1,70}", fullmatch=True),
)
def test_any_content_may_stand_beside_the_model(content: bytes, model: str, boundary: str) -> None:
    if b"--" + boundary.encode() in content:
        return
    body = form((FILE, content), (MODEL, model.encode()), boundary=boundary.encode())

    found, _, place = read_form(body, f'multipart/form-data; boundary="{boundary}"')

    assert found == model
    assert place.with_model("m") == form((FILE, content), (MODEL, b"m"), boundary=boundary.encode())


@pytest.mark.parametrize(("value", "stream"), [(b"true", True), (b"True", True), (b"false", False), (b"1", False), (b"", False)])
def test_a_form_may_ask_for_a_stream(value: bytes, stream: bool) -> None:
    assert read_form(form((MODEL, b"m"), named(b"stream", value)), TYPE)[1] is stream


@pytest.mark.parametrize(
    "head",
    [
        b'content-disposition: form-data; name="model"',
        b'CONTENT-DISPOSITION:form-data;name="model"',
        b"Content-Disposition: form-data; name=model",
        b'Content-Disposition: Form-Data ; NAME="model"',
        b'Content-Disposition: form-data; name="model"\r\nContent-Type: text/plain; charset=utf-8',
        b'Content-Type: text/plain\r\nContent-Disposition: form-data; name="model"',
        b'Content-Disposition: form-data; name="model"\r\nContent-Type: text/plain; charset="ISO-8859-1"',
        b'Content-Disposition: form-data; name="model"\r\nContent-Length: 1',
        b'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: 8bit',
    ],
    ids=repr,
)
def test_a_field_s_head_is_read_as_clients_write_it(head: bytes) -> None:
    assert read_form(form((head, b"m")), TYPE)[0] == "m"


@pytest.mark.parametrize(
    "name",
    [
        b'filename="a.wav"',
        b'filename="a; name=model; b.wav"',
        b'filename="a \\"quoted\\" name.wav"',
        b"filename=\"\xc3\xa4.wav\"; filename*=UTF-8''%C3%A4.wav",
        b'filename=""',
    ],
    ids=repr,
)
def test_a_file_s_name_does_not_matter(name: bytes) -> None:
    head = b'Content-Disposition: form-data; name="file"; ' + name

    assert read_form(form((head, b"data"), (MODEL, b"m")), TYPE)[0] == "m"


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=----b",
        'multipart/form-data; boundary="----b"',
        "multipart/form-data;boundary=----b",
        "Multipart/Form-Data; charset=utf-8; Boundary=----b",
        "multipart/form-data; boundary=----b; charset=utf-8",
        "multipart/form-data; boundary=----b;",
    ],
)
def test_the_boundary_is_read_as_clients_write_it(content_type: str) -> None:
    assert read_form(form((MODEL, b"m")), content_type)[0] == "m"


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "b" * 71,
        "multipart/form-data; boundary=----b; boundary=----c",
        "multipart/form-data; xboundary=----b",
        "multipart/form-data; boundary=\u20ac",
        "multipart/form-data; boundary=a b",
        'multipart/form-data; boundary="----\\b"',
        "multipart/mixed; boundary=----b",
        "multipart/form-datax; boundary=----b",
    ],
)
def test_a_form_without_one_clear_boundary_is_refused(content_type: str) -> None:
    assert "boundary" in refused(form((MODEL, b"m")), content_type).public


@pytest.mark.parametrize(
    "parts", [(), ((FILE, b"x"),), ((MODEL, b"a"), (MODEL, b"b")), ((MODEL, b"a"), (MODEL, b"a")), (named(b"Model", b"a"),)]
)
def test_a_form_must_hold_one_model(parts: tuple[tuple[bytes, bytes], ...]) -> None:
    assert refused(form(*parts)).param == "model"


@pytest.mark.parametrize("value", [b"", b"\xc3\xa4", b"x" * (NAME_LIMIT + 1)])
def test_the_model_must_be_a_name(value: bytes) -> None:
    assert refused(form((MODEL, value))).param == "model"


def test_the_model_is_taken_to_the_byte() -> None:
    """An upstream would not strip it either."""
    assert read_form(form((MODEL, b" m ")), TYPE)[0] == " m "
    assert read_form(form((MODEL, b"x" * NAME_LIMIT)), TYPE)[0] == "x" * NAME_LIMIT


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"preamble\r\n" + form((MODEL, b"m")), id="a preamble"),
        pytest.param(b"\r\n" + form((MODEL, b"m")), id="an empty line in front"),
        pytest.param(form((MODEL, b"m"))[:-4], id="no end"),
        pytest.param(form((MODEL, b"m"))[:-14], id="half a delimiter"),
        pytest.param(form((MODEL, b"m")) + form((MODEL, b"n")), id="a form behind the form"),
        pytest.param(form((MODEL, b"m")).replace(b"\r\n", b"\n"), id="bare line feeds"),
        pytest.param(form((FILE, b"\n------b\n" + MODEL + b"\n\nn\n"), (MODEL, b"m")), id="a delimiter between bare line feeds"),
        pytest.param(form((FILE, b"x------b"), (MODEL, b"m")), id="a delimiter in mid-line"),
        pytest.param(form((FILE, b"\r\n------bX\r\n"), (MODEL, b"m")), id="a delimiter with something behind it"),
        pytest.param(form((FILE, b"x"), (MODEL, b"m")).replace(b"------b\r\n", b"------b \r\n"), id="padding behind a delimiter"),
        pytest.param(b"------b\r\n\r\nm\r\n" + form((MODEL, b"m")), id="a part without a head"),
        pytest.param(b"------b\r\n" + form((MODEL, b"m")), id="an empty part"),
        pytest.param(b"------b\r\n" + MODEL + b"\r\n------b--\r\n", id="a head without an end"),
        pytest.param(form((MODEL + b"\r\nX: " + b"x" * HEAD_LIMIT, b"m")), id="a head without measure"),
        pytest.param(form((b"Content-Type: text/plain", b"m")), id="no disposition"),
        pytest.param(form((MODEL + b"\r\n" + MODEL, b"m")), id="two dispositions"),
        pytest.param(form((b'Content-Disposition: form-data;\r\n name="model"', b"m")), id="a folded head"),
        pytest.param(
            form((b'Content-Disposition: form-data;\r\n filename="x"; name="model"', b"m")), id="a folded head, name last"
        ),
        pytest.param(form((b'Content-Disposition : form-data; name="model"', b"m")), id="a space before the colon"),
        pytest.param(form((b'Content-Disposition: attachment; name="model"', b"m")), id="another disposition"),
        pytest.param(form((b"Content-Disposition: form-data", b"m")), id="no name"),
        pytest.param(form((b'Content-Disposition: form-data; filename="model"', b"m")), id="a file without a name"),
        pytest.param(form((b'Content-Disposition: form-data; name="a"; name="model"', b"m")), id="two names"),
        pytest.param(form((b"Content-Disposition: form-data; name*=UTF-8''model", b"m")), id="an extended name"),
        pytest.param(form((b"Content-Disposition: form-data; name=\"x\"; name*=UTF-8''model", b"m")), id="two kinds of name"),
        pytest.param(form((b'Content-Disposition: form-data; name="mo\\del"', b"m")), id="an escaped name"),
        pytest.param(form((b'Content-Disposition: form-data; name="model', b"m")), id="an open quote"),
        pytest.param(form((b'Content-Disposition: form-data; name="x"y; name="model"', b"m")), id="something behind a quote"),
        pytest.param(form((MODEL + b'; filename="m"', b"m")), id="the model as a file"),
        pytest.param(form((MODEL + b"\r\nContent-Transfer-Encoding: base64", b"bQ==")), id="the model in base64"),
        pytest.param(form((MODEL + b"\r\nContent-Transfer-Encoding: quoted-printable", b"=6D")), id="the model quoted"),
        pytest.param(form((MODEL + b"\r\nContent-Type: text/plain; charset=utf-7", b"+AG0-")), id="the model in UTF-7"),
        pytest.param(form((MODEL + b"\r\nContent-Type: text/plain; x=y; charset=utf-16", b"m")), id="the model in UTF-16"),
        pytest.param(form((MODEL + b"\r\nContent-Type: multipart/mixed; boundary=c", b"m")), id="a form in the model"),
        pytest.param(form((MODEL, b"m"), (named(b"_charset_", b"utf-7"))), id="a charset for all fields"),
        pytest.param(
            form((MODEL, b"m"), (b'Content-Disposition: form-data; name="stream"; filename="s"', b"true")),
            id="the flag as a file",
        ),
        pytest.param(form((b"\x00" + MODEL, b"m")), id="a NUL in a head"),
        pytest.param(form((MODEL + b"\rX: y", b"m")), id="a bare CR in a head"),
    ],
)
def test_a_form_that_two_readers_could_read_differently_is_refused(body: bytes) -> None:
    error = refused(body)

    assert "multipart" in error.public or error.param == "model"


def test_a_refusal_never_repeats_what_was_sent() -> None:
    error = refused(form((b'Content-Disposition: form-data; name="s3cr3t\\"', b"s3cr3t")))

    assert "s3cr3t" not in str(error)


def test_what_is_found_stands_between_the_end_of_a_head_and_a_delimiter() -> None:
    """Forms with a few bytes changed are refused, or still say clearly where their model begins and ends."""
    rng = random.Random(1)
    good = form((FILE, b"data"), (MODEL, b"whisper-1"), named(b"stream", b"true"))
    signs = b'\r\n-b:;="\\ \x00m'
    understood = 0

    for _ in range(4_000):
        body = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(body))
            body[at : at + rng.randrange(3)] = bytes(rng.choices(signs, k=rng.randrange(3)))
        try:
            model, _, place = read_form(bytes(body), TYPE)
        except BadRequest:
            continue
        understood += 1
        assert body[place.start : place.end] == model.encode()
        assert body[place.end : place.end + 9] == b"\r\n------b"
        assert body[: place.start].endswith(b"\r\n\r\n")

    assert understood > 100


def test_a_large_form_is_read_in_no_time() -> None:
    body = form((FILE, b"\r\n--" * 200_000), (MODEL, b"m"), *[named(b"x", b"y")] * 200)

    assert read_form(body, TYPE)[0] == "m"
