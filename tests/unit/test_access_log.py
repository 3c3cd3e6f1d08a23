from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.access_log import AccessLog
from proxy.exchange import Attempt, Exchange, Outcome, Phase
from proxy.logs import LineWriter
from proxy.logs.formats import Format
from tests.unit.metrics.exchanges import STARTED, WALL, completed_stream, left, refused, streaming, whole_answer

CANARY = "sk-canary-0123456789"
HOSTILE = 'gpt"\r\n{"event":"request","status":200}\x1b[2J\x9b31m\u202e\u2028\0'

Write = Callable[..., str]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Write exchanges and return what came out."""

    def write(*exchanges: Exchange, fmt: Format = "json", **options: Any) -> str:
        with (tmp_path / "log").open("wb") as sink:
            writer = LineWriter(sink)
            log = AccessLog(writer, fmt, **options)
            for exchange in exchanges:
                log.write(exchange)
            writer.stop()
        return (tmp_path / "log").read_text()

    return write


def test_a_completed_stream_tells_its_whole_story(written: Write) -> None:
    exchange = completed_stream()
    exchange.attempts.insert(
        0, Attempt("backup", "m", 1000.0, ended=1000.125, result="upstream_refused", status=529, reused=True)
    )
    exchange.retries.append(("backup", "overloaded"))
    exchange.upstream_request_id = "up-77"
    exchange.committed_early = True
    exchange.observer_skips = 1

    line = written(exchange)

    assert json.loads(line) == {
        "time": "2025-11-21T10:03:03.250Z",
        "level": "info",
        "event": "request",
        "id": "req-1",
        "subject": "ci",
        "remote": "192.0.2.7",
        "method": "POST",
        "route": "chat",
        "dialect": "chat",
        "model": "gpt-4o-mini",
        "stream": True,
        "status": 200,
        "outcome": "completed",
        "upstream": "openai",
        "attempts": [
            {"upstream": "backup", "model": "m", "result": "upstream_refused", "status": 529, "ms": 125.0, "reused": True},
            {"upstream": "openai", "model": "gpt-4o-mini", "result": "ok", "status": 200, "ms": 2749.0},
        ],
        "retries": 1,
        "first_token_ms": 500.0,
        "longest_gap_ms": 2000.0,
        "duration_ms": 3000.0,
        "overhead_ms": 1.95,
        "backpressure_ms": 500.0,
        "silence_ms": 2500.0,
        "committed_early": True,
        "bytes_in": 120,
        "bytes_out": 300,
        "chunks": 3,
        "keepalives": 3,
        "observer_skips": 1,
        "tokens_in": 12,
        "tokens_out": 3,
        "tokens_cached": 4,
        "cost_usd": 0.0025,
        "upstream_request_id": "up-77",
    }


def test_a_whole_answer_says_nothing_of_streams(written: Write) -> None:
    assert json.loads(written(whole_answer())) == {
        "time": "2025-11-21T10:03:03.250Z",
        "level": "info",
        "event": "request",
        "id": "req-1",
        "subject": "ci",
        "remote": "192.0.2.7",
        "method": "POST",
        "route": "chat",
        "dialect": "chat",
        "model": "gpt-4o-mini",
        "stream": False,
        "status": 200,
        "outcome": "completed",
        "upstream": "openai",
        "attempts": [{"upstream": "openai", "model": "gpt-4o-mini", "result": "ok", "status": 200, "ms": 750.0, "reused": True}],
        "first_token_ms": 750.0,
        "duration_ms": 1000.0,
        "overhead_ms": 0.0,
        "silence_ms": 750.0,
        "bytes_in": 120,
        "bytes_out": 300,
        "chunks": 1,
        "tokens_in": 12,
        "tokens_out": 3,
    }


def test_a_refused_request_says_why_and_nothing_it_does_not_know(written: Write) -> None:
    line = written(refused())

    assert json.loads(line) == {
        "time": "2025-11-21T10:03:03.250Z",
        "level": "info",
        "event": "request",
        "id": "req-2",
        "method": "POST",
        "route": "chat",
        "dialect": "chat",
        "stream": False,
        "status": 401,
        "outcome": "rejected_auth",
        "code": "invalid_credentials",
        "auth_failure": "expired",
        "detail": "the token expired 12s ago",
        "duration_ms": 0.24,
        "overhead_ms": 0.24,
    }


def test_a_client_that_left_shows_in_which_phase(written: Write) -> None:
    line = json.loads(written(left(Phase.BACKOFF)))

    assert (line["outcome"], line["phase"]) == ("client_gone", "backoff")
    assert "status" not in line
    assert line["attempts"] == [{"upstream": "openai", "model": "gpt-4o-mini", "result": "cancelled", "ms": 4001.95}]


def test_an_attempt_that_still_ran_at_the_end_counts_as_cancelled(written: Write) -> None:
    exchange = streaming()
    exchange.close(Outcome.DRAINED, 1003.0)

    line = json.loads(written(exchange))

    assert line["attempts"] == [{"upstream": "openai", "model": "gpt-4o-mini", "result": "cancelled", "ms": 2999.0}]


def test_a_detail_belongs_to_failures_only(written: Write) -> None:
    exchange = completed_stream()
    exchange.detail = "first attempt failed"

    assert "detail" not in json.loads(written(exchange))


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        (Outcome.COMPLETED, "info"),
        (Outcome.CLIENT_GONE, "info"),
        (Outcome.REJECTED_AUTH, "info"),
        (Outcome.REJECTED_REQUEST, "info"),
        (Outcome.REJECTED_LIMIT, "info"),
        (Outcome.REJECTED_DRAINING, "info"),
        (Outcome.UPSTREAM_ERROR, "warning"),
        (Outcome.UPSTREAM_UNREACHABLE, "warning"),
        (Outcome.UPSTREAM_TIMEOUT, "warning"),
        (Outcome.UPSTREAM_STALLED, "warning"),
        (Outcome.UPSTREAM_TRUNCATED, "warning"),
        (Outcome.UPSTREAM_RESET, "warning"),
        (Outcome.IN_BAND_ERROR, "warning"),
        (Outcome.CLIENT_STALLED, "warning"),
        (Outcome.EXPIRED, "warning"),
        (Outcome.DRAINED, "warning"),
        (Outcome.PROXY_ERROR, "error"),
    ],
)
def test_the_level_follows_the_outcome(written: Write, outcome: Outcome, level: str) -> None:
    exchange = streaming()
    exchange.close(outcome, 1003.0)

    assert json.loads(written(exchange))["level"] == level


def test_lines_below_the_configured_level_are_left_out(written: Write) -> None:
    failed = streaming()
    failed.close(Outcome.UPSTREAM_RESET, 1003.0)

    lines = written(completed_stream(), failed, refused(), level="warning").splitlines()

    assert [json.loads(line)["outcome"] for line in lines] == ["upstream_reset"]


def test_an_open_exchange_has_no_line(written: Write) -> None:
    with pytest.raises(ValueError, match="not been closed"):
        written(streaming())


@pytest.mark.parametrize("fmt", ["json", "text"])
@pytest.mark.parametrize(
    "name", ["request_id", "subject", "remote", "method", "model_requested", "detail", "upstream_request_id", "attempt"]
)
def test_no_word_of_a_peer_can_forge_a_line_or_steer_a_terminal(written: Write, fmt: Format, name: str) -> None:
    exchange = completed_stream() if name != "detail" else refused()
    if name == "attempt":
        exchange.attempts[0].model = HOSTILE
    else:
        setattr(exchange, name, HOSTILE)

    text = written(exchange, fmt=fmt)

    assert text.endswith("\n")
    assert text[:-1].isprintable()
    if fmt == "json":
        assert json.loads(text)["event"] == "request"


@pytest.mark.parametrize("name", ["subject", "model_requested", "upstream_request_id"])
def test_a_word_of_a_peer_is_cut(written: Write, name: str) -> None:
    exchange = completed_stream()
    setattr(exchange, name, "x" * 10_000)

    text = written(exchange)

    assert "x" * 128 in text
    assert "x" * 129 not in text


def test_the_model_of_an_attempt_is_cut(written: Write) -> None:
    exchange = completed_stream()
    exchange.attempts[0].model = "x" * 10_000

    assert json.loads(written(exchange))["attempts"][0]["model"] == "x" * 128


def test_a_detail_is_cut_further_on(written: Write) -> None:
    exchange = refused()
    exchange.detail = "x" * 10_000

    assert json.loads(written(exchange))["detail"] == "x" * 512


def test_words_of_peers_that_are_long_only_together_are_whole(written: Write) -> None:
    exchange = completed_stream()
    exchange.subject = exchange.model_requested = exchange.upstream_request_id = exchange.attempts[0].model = "x" * 128

    line = json.loads(written(exchange))

    words = (line["subject"], line["model"], line["upstream_request_id"], line["attempts"][0]["model"])
    assert words == ("x" * 128,) * 4


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("größer 模型", "größer 模型"),
        ('a "b" \\ c', 'a "b" \\ c'),
        ("a\x7fb", "a\\x7fb"),
        ("a\x85b", "a\\x85b"),
        ("a\tb", "a\\tb"),
    ],
)
def test_of_a_peer_s_word_only_what_cannot_be_printed_is_rewritten(written: Write, model: str, shown: str) -> None:
    exchange = completed_stream()
    exchange.model_requested = exchange.attempts[0].model = model

    line = json.loads(written(exchange))

    assert (line["model"], line["attempts"][0]["model"]) == (shown, shown)


def test_a_lone_surrogate_does_not_lose_the_line(written: Write) -> None:
    exchange = completed_stream()
    exchange.model_requested = "gpt-\ud800"

    assert json.loads(written(exchange))["model"] == "gpt-\\ud800"


def test_only_the_named_fields_are_written(written: Write) -> None:
    """A field that somebody adds to the exchange stays out of the log until it is named here and in the code."""
    named = {
        *("request_id", "subject", "remote", "method", "route", "dialect", "model_requested", "upstream", "auth_failure"),
        *("code", "detail", "upstream_request_id"),
    }
    exchange = refused()
    exchange.retries.append((CANARY, CANARY))
    for name in (*vars(Exchange), *vars(exchange)):
        if not name.startswith("_") and name not in named and isinstance(getattr(exchange, name), str):
            setattr(exchange, name, CANARY)

    assert CANARY not in written(exchange)
    assert exchange.model == CANARY


def test_text_has_columns_that_line_up(written: Write) -> None:
    first, second = written(completed_stream(), refused(), fmt="text").splitlines()

    assert first.startswith("10:03:03.250Z info     200 completed            POST chat             3.000s ")
    assert second.startswith("10:03:03.250Z info     401 rejected_auth        POST chat             0.000s ")
    assert first.endswith(" attempts=openai:ok id=req-1")
    assert " model=gpt-4o-mini " in first
    assert ' detail="the token expired 12s ago" ' in second


def test_text_has_colour_only_when_asked(written: Write) -> None:
    assert "\x1b" not in written(completed_stream(), fmt="text")
    assert "\x1b[32minfo    \x1b[0m" in written(completed_stream(), fmt="text", colour=True)


def test_json_never_has_colour(written: Write) -> None:
    assert "\x1b" not in written(completed_stream(), colour=True)


def test_lines_that_the_sink_lost_are_counted() -> None:
    with Path("/dev/full").open("wb", buffering=0) as disk:
        writer = LineWriter(disk)
        log = AccessLog(writer, "json")
        log.write(completed_stream())
        log.write(completed_stream())

        writer.stop()

    assert log.dropped == 2


def test_times_come_from_the_exchange(written: Write) -> None:
    late = Exchange("r", STARTED, WALL + 3600.001)
    late.close(Outcome.COMPLETED, STARTED + 0.3)  # a little less than 0.3 after STARTED

    line = json.loads(written(late))

    assert line["time"] == "2025-11-21T11:03:03.251Z"
    assert line["duration_ms"] == 300.0
