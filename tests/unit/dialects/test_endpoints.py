from __future__ import annotations

from proxy.dialects import (
    CHAT,
    COMPLETIONS,
    COUNT_TOKENS,
    EMBEDDINGS,
    ENDPOINTS,
    GEMINI,
    GEMINI_STREAM,
    MESSAGES,
    PLAIN,
    RESPONSES,
)
from proxy.dialects.endpoints import BEDROCK_TOKENS, CONVERSE, CONVERSE_STREAM, INVOKE, INVOKE_STREAM


def test_each_path_of_the_surface_speaks_its_dialect() -> None:
    served = {
        (endpoint.method, endpoint.path): (endpoint.route, endpoint.dialect) for endpoint in ENDPOINTS if not endpoint.canonical
    }

    assert served == {
        ("POST", "/v1/chat/completions"): ("chat", CHAT),
        ("POST", "/v1/completions"): ("completions", COMPLETIONS),
        ("POST", "/v1/responses"): ("responses", RESPONSES),
        ("POST", "/v1/embeddings"): ("embeddings", EMBEDDINGS),
        ("POST", "/v1/messages"): ("messages", MESSAGES),
        ("POST", "/v1/messages/count_tokens"): ("count_tokens", COUNT_TOKENS),
        ("POST", "/model/{model}/converse"): ("bedrock", CONVERSE),
        ("POST", "/model/{model}/converse-stream"): ("bedrock", CONVERSE_STREAM),
        ("POST", "/model/{model}/invoke"): ("bedrock", INVOKE),
        ("POST", "/model/{model}/invoke-with-response-stream"): ("bedrock", INVOKE_STREAM),
        ("POST", "/model/{model}/count-tokens"): ("bedrock", BEDROCK_TOKENS),
        ("POST", "/v1/moderations"): ("moderations", PLAIN),
        ("POST", "/v1/images/generations"): ("images", PLAIN),
        ("POST", "/v1/images/edits"): ("images", PLAIN),
        ("POST", "/v1/images/variations"): ("images", PLAIN),
        ("POST", "/v1/audio/speech"): ("audio", PLAIN),
        ("POST", "/v1/audio/transcriptions"): ("audio", PLAIN),
        ("POST", "/v1/audio/translations"): ("audio", PLAIN),
        ("POST", "/v1beta/models/{model}:generateContent"): ("gemini", GEMINI),
        ("POST", "/v1beta/models/{model}:streamGenerateContent"): ("gemini", GEMINI_STREAM),
        ("POST", "/v1beta/models/{model}:countTokens"): ("gemini", GEMINI),
        ("POST", "/v1/models/{model}:generateContent"): ("gemini", GEMINI),
        ("POST", "/v1/models/{model}:streamGenerateContent"): ("gemini", GEMINI_STREAM),
        ("POST", "/v1/models/{model}:countTokens"): ("gemini", GEMINI),
    }
    speaks = {endpoint.path: endpoint.api for endpoint in ENDPOINTS}
    assert speaks["/v1/chat/completions"] == "chat"
    assert speaks["/v1/messages"] == "messages"
    assert speaks["/v1/messages/count_tokens"] == "count_tokens"
    assert speaks["/v1/images/edits"] == "images"
    assert speaks["/v1beta/models/{model}:streamGenerateContent"] == "gemini"
    assert speaks["/v1beta/models/{model}:countTokens"] == "gemini_tokens"
    assert speaks["/model/{model}/converse-stream"] == "converse"
    assert speaks["/model/{model}/invoke"] == "invoke"


def test_azure_s_clients_find_openai_s_paths_in_both_of_their_forms() -> None:
    served = {endpoint.path: endpoint for endpoint in ENDPOINTS if endpoint.canonical}

    assert {path: endpoint.canonical for path, endpoint in served.items()} == {
        f"/openai{before}{path}": f"/v1{path}"
        for path in (
            "/chat/completions",
            "/completions",
            "/embeddings",
            "/images/generations",
            "/images/edits",
            "/images/variations",
            "/audio/speech",
            "/audio/transcriptions",
            "/audio/translations",
            "/responses",
        )
        for before in (("/v1", "") if path == "/responses" else ("/v1", "/deployments/{deployment}"))
    }
    chat = served["/openai/deployments/{deployment}/chat/completions"]
    assert (chat.method, chat.route, chat.api, chat.dialect) == ("POST", "chat", "chat", CHAT)


def test_no_path_is_there_twice() -> None:
    paths = [(endpoint.method, endpoint.path) for endpoint in ENDPOINTS]

    assert len(paths) == len(set(paths))


def test_a_dialect_is_known_by_its_name() -> None:
    """Plans are kept by it, and by whether a stream is wanted, which is all that two of one name may differ in."""
    names = {(endpoint.dialect.name, type(endpoint.dialect)) for endpoint in ENDPOINTS}

    assert len({name for name, _ in names}) == len(names)
    assert len({dialect.name for dialect in (CHAT, COMPLETIONS, EMBEDDINGS, PLAIN)}) == 4
