from __future__ import annotations

import pytest

from proxy.dialects import EMBEDDINGS, PLAIN
from proxy.dialects.base import CONTENT, NOTHING
from proxy.errors import BadRequest
from proxy.exchange import Usage

FORM = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'


def test_an_unknown_stream_s_events_are_content_and_its_comments_are_not() -> None:
    observer = PLAIN.observer(PLAIN.read_request(b'{"model":"m"}', {}))

    seen = [observer.feed(data) for data in (b": c\n\n", b"event: a\ndata: 1\n\n", b"retry: 1\n\n", b"data", b": [DONE]\n\n")]

    assert seen == [NOTHING, CONTENT, NOTHING, NOTHING, CONTENT]
    assert not observer.terminal


@pytest.mark.parametrize("clean", [True, False])
def test_an_unknown_stream_is_complete_when_its_framing_is(clean: bool) -> None:
    observer = PLAIN.observer(PLAIN.read_request(b'{"model":"m"}', {}))
    observer.feed(b"data: half")

    assert observer.complete(clean=clean) is clean


@pytest.mark.parametrize("content_type", ["", "application/json", "application/json; charset=utf-8", "text/plain"])
def test_a_json_request_names_its_model(content_type: str) -> None:
    body = b'{"input":["a","b"],"model":"text-embedding-3-small","stream":false}'

    view = EMBEDDINGS.read_request(body, {"content-type": content_type})

    assert (view.model, view.stream) == ("text-embedding-3-small", False)
    assert view.place is not None
    assert view.place.with_model("m") == body.replace(b"text-embedding-3-small", b"m")


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=b", "Multipart/Form-Data; Boundary=b"])
def test_a_form_names_its_model(content_type: str) -> None:
    view = PLAIN.read_request(FORM, {"content-type": content_type})

    assert (view.model, view.stream) == ("whisper-1", False)
    assert view.place is not None
    assert view.place.with_model("m") == FORM.replace(b"whisper-1", b"m")


@pytest.mark.parametrize(
    ("body", "content_type", "placed"),
    [
        (b'{"input":"a"}', "application/json", b'{"model":"m","input":"a"}'),
        (b'{"model":"x","input":"a"}', "application/json", b'{"model":"m","input":"a"}'),
        (FORM, "multipart/form-data; boundary=b", FORM.replace(b"whisper-1", b"m")),
    ],
)
def test_a_deployment_in_the_path_is_the_model(body: bytes, content_type: str, placed: bytes) -> None:
    view = PLAIN.read_request(body, {"content-type": content_type, "deployment": "mine"})

    assert view.model == "mine"
    assert view.place is not None
    assert view.place.with_model("m") == placed


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"{}", ""), (b'{"model":"m","stream":1}', ""), (FORM, ""), (b'{"model":"m"}', "multipart/form-data; boundary=b")],
)
def test_a_request_without_a_clear_model_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(BadRequest):
        PLAIN.read_request(body, {"content-type": content_type})


def test_an_answer_s_usage_is_read() -> None:
    assert EMBEDDINGS.usage_of(b'{"data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}') == Usage(8)
    assert (EMBEDDINGS.name, PLAIN.name) == ("embeddings", "plain")
