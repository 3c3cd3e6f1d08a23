from __future__ import annotations

from proxy.dialects import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, ENDPOINTS, MESSAGES, PLAIN, RESPONSES


def test_each_path_of_the_surface_speaks_its_dialect() -> None:
    served = {(endpoint.method, endpoint.path): (endpoint.route, endpoint.dialect) for endpoint in ENDPOINTS}

    assert served == {
        ("POST", "/v1/chat/completions"): ("chat", CHAT),
        ("POST", "/v1/completions"): ("completions", COMPLETIONS),
        ("POST", "/v1/responses"): ("responses", RESPONSES),
        ("POST", "/v1/embeddings"): ("embeddings", EMBEDDINGS),
        ("POST", "/v1/messages"): ("messages", MESSAGES),
        ("POST", "/v1/messages/count_tokens"): ("count_tokens", COUNT_TOKENS),
        ("POST", "/v1/moderations"): ("moderations", PLAIN),
        ("POST", "/v1/images/generations"): ("images", PLAIN),
        ("POST", "/v1/images/edits"): ("images", PLAIN),
        ("POST", "/v1/images/variations"): ("images", PLAIN),
        ("POST", "/v1/audio/speech"): ("audio", PLAIN),
        ("POST", "/v1/audio/transcriptions"): ("audio", PLAIN),
        ("POST", "/v1/audio/translations"): ("audio", PLAIN),
    }
    speaks = {endpoint.path: endpoint.api for endpoint in ENDPOINTS}
    assert speaks["/v1/chat/completions"] == "chat"
    assert speaks["/v1/messages"] == "messages"
    assert speaks["/v1/messages/count_tokens"] == "count_tokens"
    assert speaks["/v1/images/edits"] == "images"


def test_no_path_is_there_twice() -> None:
    paths = [(endpoint.method, endpoint.path) for endpoint in ENDPOINTS]

    assert len(paths) == len(set(paths))


def test_a_dialect_is_known_by_its_name() -> None:
    """Plans are kept by it."""
    dialects = {endpoint.dialect for endpoint in ENDPOINTS}

    assert len({dialect.name for dialect in dialects}) == len(dialects)
