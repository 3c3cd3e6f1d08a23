"""The table of paths, over raw bytes."""

from __future__ import annotations

import pytest

from proxy.dialects import (
    CHAT,
    COMPLETIONS,
    CONVERSE,
    EMBEDDINGS,
    GEMINI,
    GEMINI_STREAM,
    MESSAGES,
    PLAIN,
    RESPONSES,
    Endpoint,
)
from proxy.dialects.base import Dialect
from proxy.errors import MethodNotAllowed, NotFound
from proxy.handler.surface import Match, Surface


@pytest.mark.parametrize(
    ("path", "route", "dialect"),
    [
        (b"/v1/chat/completions", "chat", CHAT),
        (b"/v1/completions", "completions", COMPLETIONS),
        (b"/v1/responses", "responses", RESPONSES),
        (b"/v1/embeddings", "embeddings", EMBEDDINGS),
        (b"/v1/moderations", "moderations", PLAIN),
        (b"/v1/images/edits", "images", PLAIN),
        (b"/v1/audio/transcriptions", "audio", PLAIN),
    ],
)
def test_path_of_a_model_has_its_route_and_dialect(path: bytes, route: str, dialect: Dialect) -> None:
    match = Surface().match(b"POST", path)

    assert match == Match("model", route, dialect, api=route)


def test_endpoint_is_served_with_its_own_method_and_api() -> None:
    surface = Surface([Endpoint("PUT", "/v1/messages", "messages", PLAIN, "messages")])

    match = surface.match(b"PUT", b"/v1/messages")

    assert match == Match("model", "messages", PLAIN, api="messages")


DEPLOYED = Endpoint("POST", "/openai/deployments/{deployment}/chat/completions", "chat", CHAT, "chat", "/v1/chat/completions")
GENERATE = Endpoint("POST", "/v1/models/{model}:generateContent", "gemini", PLAIN, "gemini")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (b"/openai/deployments/gpt-4o/chat/completions", {"deployment": "gpt-4o"}),
        (b"/openai/deployments/a%2Fb%3A1/chat/completions", {"deployment": "a/b:1"}),
        (b"/openai/deployments/%E9/chat/completions", {"deployment": "\udce9"}),
        (b"/v1/models/gemini-2.5-pro:generateContent", {"model": "gemini-2.5-pro"}),
        (b"/v1/models/tuned:one:generateContent", {"model": "tuned:one"}),
    ],
)
def test_placeholder_stands_for_a_part_of_one_segment(path: bytes, parts: dict[str, str]) -> None:
    match = Surface([DEPLOYED, GENERATE]).match(b"POST", path)

    assert match.parts == parts
    assert match.canonical == (b"/v1/chat/completions" if match.api == "chat" else b"")


def test_path_with_a_placeholder_serves_its_own_method_only() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        Surface([DEPLOYED]).match(b"GET", b"/openai/deployments/a/chat/completions")

    assert refused.value.allowed == ("POST",)


@pytest.mark.parametrize("path", [b"/openai/deployments//chat/completions", b"/openai/deployments/a/b/chat/completions"])
def test_placeholder_is_never_empty_and_never_two_segments(path: bytes) -> None:
    with pytest.raises(NotFound):
        Surface([DEPLOYED]).match(b"POST", path)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize(
    ("path", "page"),
    [
        (b"/healthz", "health"),
        (b"/auth/ping", "ping"),
        (b"/test/stream", "test"),
        (b"/stream-check", "stream-check"),
        (b"/v1/models", "models"),
    ],
)
def test_own_page_is_read_with_get_and_head(method: bytes, path: bytes, page: str) -> None:
    match = Surface().match(method, path)

    assert match == Match(page, page, PLAIN)


def test_tickets_are_asked_for_with_post() -> None:
    assert Surface().match(b"POST", b"/auth/tickets") == Match("tickets", "tickets", PLAIN)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("rest", [b"gpt-4o", b"vendor/gpt-4o", b"vendor%2Fgpt-4o", b"%2e%2e", b"a//b/", b"\xc3\xa9"])
def test_id_of_a_model_is_everything_that_follows_as_it_came(method: bytes, rest: bytes) -> None:
    match = Surface().match(method, b"/v1/models/" + rest)

    assert match == Match("models", "models", PLAIN, rest=rest)


@pytest.mark.parametrize(
    ("path", "name", "rest"),
    [
        (b"/upstream/openai/v1/files", "openai", b"/v1/files"),
        (b"/upstream/openai/v1/files/%2e%2e/a%2Fb//", "openai", b"/v1/files/%2e%2e/a%2Fb//"),
        (b"/upstream/openai/", "openai", b"/"),
        (b"/upstream/openai", "openai", b""),
        (b"/upstream/", "", b""),
        (b"/upstream//v1", "", b"/v1"),
        (b"/upstream/open%61i/v1", "open%61i", b"/v1"),
        (b"/upstream/\xff/v1", "ÿ", b"/v1"),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"DELETE", b"PROPFIND"])
def test_named_upstream_has_its_name_and_the_rest_as_it_came(method: bytes, path: bytes, name: str, rest: bytes) -> None:
    match = Surface().match(method, path)

    assert match == Match("upstream", "upstream", PLAIN, name=name, rest=rest)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        (b"GET", b"/v1/chat/completions", ("POST",)),
        (b"HEAD", b"/v1/responses", ("POST",)),
        (b"OPTIONS", b"/v1/embeddings", ("POST",)),
        (b"post", b"/v1/embeddings", ("POST",)),
        (b"POST", b"/healthz", ("GET", "HEAD")),
        (b"GET", b"/auth/tickets", ("POST",)),
        (b"DELETE", b"/v1/models", ("GET", "HEAD")),
        (b"POST", b"/test/departures/r1", ("GET", "HEAD")),
        (b"PUT", b"/test/stream", ("GET", "HEAD", "POST")),
        (b"DELETE", b"/v1/models/gpt-4o", ("GET", "HEAD")),
        (b"TRACE", b"/upstream/openai/v1/files", ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")),
    ],
)
def test_path_that_does_not_serve_a_method_says_which_it_serves(method: bytes, path: bytes, allowed: tuple[str, ...]) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        Surface().match(method, path)

    assert refused.value.allowed == allowed


def test_path_of_several_endpoints_allows_the_methods_of_all() -> None:
    surface = Surface(
        [Endpoint("PUT", "/x", "x", PLAIN, "x"), Endpoint("GET", "/x", "x", PLAIN, "x"), Endpoint("POST", "/y", "y", PLAIN, "y")]
    )

    with pytest.raises(MethodNotAllowed) as refused:
        surface.match(b"DELETE", b"/x")

    assert refused.value.allowed == ("GET", "PUT")


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"",
        b"/v1",
        b"/v1/chat/completions/",
        b"/v1/chat//completions",
        b"/v1/./chat/completions",
        b"/v1/x/../chat/completions",
        b"/v1/chat%2Fcompletions",
        b"/v1/chat/completion%73",
        b"/V1/chat/completions",
        b"/v1/modelsx",
        b"/upstreams/openai/v1",
        b"/upstream",
        b"*",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_path_that_only_looks_like_one_of_the_table_is_not_found(method: bytes, path: bytes) -> None:
    with pytest.raises(NotFound):
        Surface().match(method, path)


def test_paths_are_those_that_need_no_second_look() -> None:
    paths = Surface().paths

    assert {b"/v1/chat/completions", b"/healthz", b"/v1/models"} <= paths
    assert not any(path.endswith(b"/") or b"?" in path for path in paths)


def test_test_stream_is_asked_for_with_a_body_too() -> None:
    assert Surface().match(b"POST", b"/test/stream") == Match("test", "test", PLAIN)


def test_departure_is_asked_for_by_the_id_that_follows() -> None:
    assert Surface().match(b"GET", b"/test/departures/r%2F1") == Match("departure", "test", PLAIN, rest=b"r%2F1")


def test_a_stream_is_stopped_by_the_id_that_follows() -> None:
    assert Surface().match(b"DELETE", b"/streams/r%2F1") == Match("stop", "stop", PLAIN, rest=b"r%2F1")


@pytest.mark.parametrize(
    ("path", "dialect", "api", "parts"),
    [
        (b"/v1beta/models/gemini-2.5-flash:generateContent", GEMINI, "gemini", {"model": "gemini-2.5-flash"}),
        (b"/v1/models/vendor%2Fg:streamGenerateContent", GEMINI_STREAM, "gemini", {"model": "vendor/g"}),
        (b"/v1/models/gemini-2.5-flash:countTokens", GEMINI, "gemini_tokens", {"model": "gemini-2.5-flash"}),
        (b"/openai/deployments/gpt-4o/chat/completions", CHAT, "chat", {"deployment": "gpt-4o"}),
        (b"/openai/deployments/a%2Fb/audio/speech", PLAIN, "audio", {"deployment": "a/b"}),
    ],
)
def test_path_may_name_the_model(path: bytes, dialect: Dialect, api: str, parts: dict[str, str]) -> None:
    match = Surface().match(b"POST", path)

    assert (match.page, match.dialect, match.api, match.parts) == ("model", dialect, api, parts)


@pytest.mark.parametrize(
    ("path", "canonical"), [(b"/openai/v1/responses", b"/v1/responses"), (b"/openai/responses", b"/v1/responses")]
)
def test_azure_s_forms_lead_to_openai_s_own_paths(path: bytes, canonical: bytes) -> None:
    match = Surface().match(b"POST", path)

    assert (match.dialect, match.canonical) == (RESPONSES, canonical)


@pytest.mark.parametrize(
    ("models", "dialect"), [(b"/v1/models", PLAIN), (b"/openai/v1/models", PLAIN), (b"/v1beta/models", GEMINI)]
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_models_are_listed_and_told_one_by_one(models: bytes, dialect: Dialect, method: bytes) -> None:
    surface = Surface()

    assert surface.match(method, models) == Match("models", "models", dialect)
    assert surface.match(method, models + b"/a/llama:8b") == Match("models", "models", dialect, rest=b"a/llama:8b")


@pytest.mark.parametrize("path", [b"/v1/models", b"/v1/models/gpt-4o", b"/v1beta/models", b"/v1beta/models/gemini-2.5-pro"])
def test_models_are_only_read(path: bytes) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        Surface().match(b"DELETE", path)

    assert refused.value.allowed == ("GET", "HEAD")


def test_verb_behind_a_model_s_name_is_for_post() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        Surface().match(b"GET", b"/v1beta/models/gemini-2.5-pro:generateContent")

    assert refused.value.allowed == ("POST",)


@pytest.mark.parametrize(
    "path", [b"/v1beta/models/g:embedContent", b"/v1/models/g:embedContent", b"/v1beta/files", b"/openai/models"]
)
def test_what_is_not_served_of_others_apis_is_not_found(path: bytes) -> None:
    with pytest.raises(NotFound):
        Surface().match(b"POST", path)


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        (b"/v1/messages/batches", MESSAGES),
        (b"/v1beta/files", GEMINI),
        (b"/model/x/apply", CONVERSE),
        (b"/v1/files", CHAT),
        (b"/", CHAT),
    ],
)
def test_what_is_not_served_is_told_in_the_words_of_whose_clients_ask_there(path: bytes, dialect: Dialect) -> None:
    assert Surface().words(path, CHAT) is dialect
