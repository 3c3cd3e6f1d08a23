"""One request's attempts, close up: real upstreams, and a client of which every byte is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from proxy import settings as config
from proxy.dialects import CHAT, GEMINI_STREAM
from proxy.dialects.base import Answer, Blind, Framing, RequestView
from proxy.errors import (
    Stopped,
    UpstreamBusy,
    UpstreamConnectFailed,
    UpstreamCredentials,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnexpected,
)
from proxy.exchange import Outcome
from proxy.handler import Runtime, attempts
from proxy.handler.attempts import Attempts
from proxy.handler.surface import Match
from proxy.health import verdict_of
from proxy.router import Target
from proxy.streaming import Stream
from proxy.tasks import Tasks
from proxy.upstream import BedrockSigner
from tests.support.answers import ERROR_EVENT, FINISH, TOKEN, until
from tests.support.aws import Aws
from tests.support.house import chat, settings
from tests.support.http1 import ChunkedBody
from tests.support.transports import turns
from tests.support.upstream import DONE, Gate, Hang, Reply, Rst, Upstream, answer, closed_port, silent_port, stream, verbatim
from tests.unit.handler.calling import Asked, asked, runtime

CHAT_COMPLETIONS: Final = Match("model", "chat", CHAT, api="chat")
A: Final = Target("a", "gpt-test")
B: Final = Target("b", "gpt-test")
BUSY: Final = {"error": {"message": "please wait", "code": "busy"}}
GOOD: Final = stream(TOKEN, FINISH, DONE)
ANSWER: Final = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}}


@pytest.fixture
async def first() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def second() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


class Trying:
    """A request that is about to be tried."""

    def __init__(self, it: Asked, *, whole: bool) -> None:
        self.it = it
        self.call = call = it.call
        call.match, call.view = CHAT_COMPLETIONS, CHAT.read_request(call.body, {})
        plan = call.runtime.plans.of_model("gpt-*", call.runtime.settings.streaming, CHAT, stream=not whole)
        call.stream = self.stream = Stream(call.exchange, call.downstream, plan, [], 0.0)

    async def answer(self, *targets: Target, public_path: bool = True) -> None:
        """Try these targets (default: the first upstream) to the end."""
        self.call.route = self.call.runtime.router.resolve(self.call.view.model) if public_path else None
        await Attempts(self.call, self.stream, targets or (A,)).answer()

    @property
    def results(self) -> list[tuple[str, str]]:
        """Upstream and result of each attempt so far."""
        return [(attempt.upstream, attempt.result) for attempt in self.call.exchange.attempts]

    @property
    def relayed(self) -> tuple[bytes, bool]:
        """What the client has of a chunked body, and whether its end was said."""
        body = ChunkedBody()
        return body.feed(self.it.body), body.complete

    def idle(self) -> bool:
        """Tell whether no upstream counts this request any more."""
        return all(not each.budget.active and not each.budget.repeats for each in self.call.runtime.backends.values())


@asynccontextmanager
async def trying(under: Runtime, body: bytes | None = None, *, head: str = "POST /v1/chat/completions") -> AsyncIterator[Trying]:
    """Hold a chat request (default: for a stream) that has been read. At the end everything is given back."""
    body = chat() if body is None else body
    request = f"{head} HTTP/1.1\r\nHost: p\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    async with asked(request, under) as it:
        await it.call.read_body(under.settings.limits, under.bodies)
        it.call.method = head.partition(" ")[0].encode()
        trial = Trying(it, whole=b'"stream": false' in body)
        try:
            yield trial
        finally:
            trial.stream.close()
            it.call.free()
        assert trial.idle()
        assert trial.call.exchange.attempts, "nothing was tried"
        assert all(attempt.result and attempt.ended >= attempt.started for attempt in trial.call.exchange.attempts)


def over(*upstreams: Upstream, **changes: Any) -> Runtime:
    return runtime(settings(*(upstream.url for upstream in upstreams), **changes))


# Answers.


async def test_stream_is_relayed_and_its_attempt_written_down(first: Upstream) -> None:
    first.script(stream(TOKEN, FINISH, DONE, headers=[("x-request-id", "up1")]))
    async with trying(over(first)) as it:
        await it.answer()

        assert it.relayed == (TOKEN + FINISH + DONE, True)
        [attempt] = it.call.exchange.attempts
        assert (attempt.upstream, attempt.model, attempt.result, attempt.status, attempt.reused) == (
            "a",
            "gpt-test",
            "ok",
            200,
            False,
        )
        assert attempt.headers_seconds is not None
        assert (it.call.exchange.upstream, it.call.exchange.status) == ("a", 200)
        assert it.call.exchange.upstream_request_id == "up1"
        assert it.call.exchange.outcome is None, "that is for the handler to say"


async def test_body_is_freed_at_the_first_event(first: Upstream) -> None:
    first.script(stream(TOKEN, Gate("on"), FINISH, DONE))
    built, tasks = over(first), Tasks()
    async with trying(built) as it:
        held = built.bodies.used
        going = tasks.spawn(it.answer(), name="answer")
        await first.reached("on")
        await until(lambda: it.call.downstream.committed)
        freed = built.bodies.used
        first.open("on")
        await going

        assert held == len(chat())
        assert freed == 0


async def test_whole_answer_goes_out_in_one_write_with_its_length(first: Upstream) -> None:
    first.script(answer(ANSWER, headers=[("X-Their", "own")]))
    async with trying(over(first), chat(stream=False)) as it:
        await it.answer()

        assert len(it.it.client.transport.written) == 1
        assert {b"X-Their: own", b"X-Request-Id: r1", b"Content-Length: %d" % len(it.it.body)} <= set(it.it.head)
        assert orjson.loads(it.it.body) == ANSWER
        assert it.results == [("a", "ok")]


async def test_stream_that_is_one_json_text_is_looked_into_although_it_came_whole(first: Upstream, second: Upstream) -> None:
    first.script(answer([{"error": {"code": 503}}]))
    second.script(answer([{"candidates": [{"finishReason": "STOP"}]}]))
    async with trying(over(first, second)) as it:
        it.call.dialect = GEMINI_STREAM.asked_with(b"")
        await it.answer(A, B)

        assert it.results == [("a", "upstream_error_event"), ("b", "ok")]


@pytest.mark.parametrize("streamed", [True, False])
async def test_only_the_models_name_is_replaced_in_the_body(first: Upstream, streamed: bool) -> None:
    first.script(GOOD if streamed else answer(ANSWER))
    body = b' {"a":1.0,  "model" : "gpt-test","stream": %b} ' % (b"true" if streamed else b"false")
    async with trying(over(first), body) as it:
        await it.answer(Target("a", "their/name"))

        assert (await first.request()).body == body.replace(b"gpt-test", b"their/name")
        assert it.call.exchange.attempts[0].model == "their/name"


async def test_body_of_the_same_name_is_passed_untouched(first: Upstream) -> None:
    first.script(GOOD)
    body = b'{"model":"gpt-test" , "stream":true,"x":"\\u00e9"}'
    async with trying(over(first), body) as it:
        await it.answer()

        assert (await first.request()).body == body


@pytest.mark.parametrize(
    ("head", "public_path", "target"),
    [
        ("POST /v1/chat/completions?a=%2F", True, b"/v1/chat/completions?a=%2F"),
        ("POST /files/%2e%2e//x?", False, b"/files/%2e%2e//x?"),
    ],
)
async def test_path_is_the_upstreams_place_for_a_public_one_and_else_the_clients(
    first: Upstream, head: str, public_path: bool, target: bytes
) -> None:
    first.script(GOOD)
    async with trying(over(first), head=head) as it:
        await it.answer(public_path=public_path)

        assert (await first.request()).target == target


@pytest.mark.parametrize(
    ("headers", "framing", "observer"),
    [
        ({"Content-Type": "text/event-stream"}, Framing.EVENTS, type(CHAT.observer(RequestView("m")))),
        ({"Content-Type": "Text/Event-Stream ; charset=utf-8"}, Framing.EVENTS, type(CHAT.observer(RequestView("m")))),
        (
            {"Content-Type": "text/event-stream", "Content-Encoding": "identity"},
            Framing.EVENTS,
            type(CHAT.observer(RequestView("m"))),
        ),
        ({"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}, Framing.OPAQUE, Blind),
        ({"Content-Type": "application/x-ndjson"}, Framing.LINES, Blind),
        ({"Content-Type": "application/json; charset=utf-8"}, Framing.WHOLE, Answer),
        ({"Content-Type": "application/json", "Content-Encoding": "br"}, Framing.OPAQUE, Blind),
        ({"Content-Type": "text/html"}, Framing.OPAQUE, Blind),
        ({}, Framing.OPAQUE, Blind),
    ],
)
async def test_head_decides_what_a_body_is_and_who_looks_at_it(
    first: Upstream, headers: dict[str, str], framing: Framing, observer: type
) -> None:
    first.script(Reply(headers=list(headers.items()), body=[TOKEN, FINISH, Gate("end"), DONE]))
    first.open("end")
    async with trying(over(first)) as it:
        await it.answer()

        assert it.stream.relay.framing is framing
        assert type(it.stream.relay.observer) is observer
        assert it.relayed == (TOKEN + FINISH + DONE, True)


async def test_answer_to_head_is_not_read_as_what_it_would_have_been(first: Upstream) -> None:
    first.script(stream(TOKEN))
    async with trying(over(first), head="HEAD /v1/files") as it:
        await it.answer(public_path=False)

        assert it.stream.relay.framing is Framing.OPAQUE
        assert it.results == [("a", "ok")]


async def test_refusal_of_head_names_the_length_that_the_upstream_named(first: Upstream) -> None:
    """A GET would have had that body; `0` would say that it has none (RFC 9110 8.6)."""
    first.script(Reply(status=404, headers=[("Content-Length", "22")], framing="raw"))
    async with trying(over(first), head="HEAD /v1/files") as it:
        await it.answer(public_path=False)

        assert b"Content-Length: 22" in it.it.head
        assert it.it.body == b""


# Failures.


async def test_failed_attempt_is_followed_by_the_next_target(first: Upstream, second: Upstream) -> None:
    first.script(answer(BUSY, 503))
    second.script(GOOD)
    async with trying(over(first, second)) as it:
        await it.answer(A, B)

        assert it.relayed == (TOKEN + FINISH + DONE, True)
        assert it.results == [("a", "overloaded"), ("b", "ok")]
        assert [upstream for upstream, _ in it.call.exchange.retries] == ["a"]
        assert it.call.exchange.upstream == "b"
        assert it.call.exchange.code == ""


async def test_target_is_tried_again_with_a_place_of_its_budget(first: Upstream) -> None:
    places: list[int] = []
    built = over(first, retry={"backoff_base": "1ms", "backoff_cap": "1ms"})

    def again(request: Any) -> Reply:
        places.append(built.backends["a"].budget.repeats)
        return answer(BUSY, 503) if len(places) == 1 else GOOD

    first.script(again, again)
    async with trying(built) as it:
        await it.answer()

        assert places == [0, 1]
        assert it.results == [("a", "overloaded"), ("a", "ok")]


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_clients_own_error_is_passed_on_as_it_is_and_not_tried_again(
    first: Upstream, second: Upstream, status: int
) -> None:
    first.script(answer(BUSY, status, headers=[("X-Their", "own")]))
    async with trying(over(first, second)) as it:
        await it.answer(A, B)

        assert it.it.head[0].split(b" ")[1] == b"%d" % status
        assert {b"X-Their: own", b"X-Request-Id: r1"} <= set(it.it.head)
        assert not [line for line in it.it.head if line.startswith(b"X-Should-Retry")]
        assert orjson.loads(it.it.body) == BUSY
        exchange = it.call.exchange
        assert (exchange.status, exchange.outcome, exchange.code) == (status, Outcome.UPSTREAM_ERROR, "upstream_refused")
        assert exchange.progress.bytes_out == len(it.it.body)
        assert it.results == [("a", "refused")]
        assert not second.requests


async def test_last_refusal_says_that_the_attempts_are_used_up(first: Upstream) -> None:
    first.script(answer(BUSY, 500), repeat_last=True)
    async with trying(over(first, retry={"backoff_base": "1ms", "backoff_cap": "1ms", "attempts": 2})) as it:
        await it.answer()

        assert it.results == [("a", "server_error")] * 2
        assert b"X-Should-Retry: false" in it.it.head
        assert orjson.loads(it.it.body) == BUSY


async def test_refusal_of_our_credential_is_ours_to_tell(first: Upstream) -> None:
    first.script(answer({"error": {"message": "sk-upstream-a is wrong"}}, 401), repeat_last=True)
    async with trying(over(first)) as it:
        with pytest.raises(UpstreamCredentials):
            await it.answer()

        assert it.it.sent == b""
        assert {result for _, result in it.results} == {"upstream_credentials"}


async def test_error_body_that_does_not_end_is_not_passed_on_as_if_it_were_whole(
    first: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "ERROR_BODY_WAIT", 0.05)
    first.script(Reply(status=400, headers=[("Content-Type", "text/plain")], body=[b"so far", Hang()]))
    async with trying(over(first)) as it:
        with pytest.raises(UpstreamRefused):
            await it.answer()

        assert it.it.sent == b""
        await first.closed()


async def test_id_of_one_upstreams_answer_is_not_told_of_another(first: Upstream) -> None:
    first.script(answer(BUSY, 500, headers=[("x-request-id", "up1")]))
    with closed_port() as port:
        async with trying(runtime(settings(first.url, f"http://127.0.0.1:{port}", retry={"attempts": 2}))) as it:
            with pytest.raises(UpstreamConnectFailed):
                await it.answer(A, B)

            assert (it.call.exchange.upstream, it.call.exchange.upstream_request_id) == ("b", "")


async def test_unreachable_upstream_leaves_its_error() -> None:
    with closed_port() as port:
        async with trying(runtime(settings(f"http://127.0.0.1:{port}", retry={"attempts": 1}))) as it:
            with pytest.raises(UpstreamConnectFailed):
                await it.answer()

            assert it.results == [("a", "upstream_connect_failed")]
            assert it.call.exchange.code == "upstream_connect_failed"


async def test_nobody_else_is_asked_once_the_answer_has_been_ended(second: Upstream) -> None:
    """While a connection is made there is nothing to wake: what ended the answer meanwhile is heard of when the dial has failed."""
    with silent_port() as port:
        tasks, built = (
            Tasks(),
            runtime(settings(f"http://127.0.0.1:{port}", second.url, upstreams={"a": {"connect_timeout": "1s"}})),
        )
        async with trying(built) as it:
            answer = tasks.spawn(it.answer(A, B), name="answer")
            await turns()

            it.stream.fail(Stopped())
            await asyncio.wait((answer,))

            assert isinstance(answer.exception(), Stopped)
            assert it.results == [("a", "upstream_connect_failed")]
            assert not second.connections


async def test_open_circuit_is_left_out_without_a_dial_while_another_target_is_left(first: Upstream, second: Upstream) -> None:
    second.script(GOOD)
    built = over(first, second, circuit={"failures": 1})
    await _break(built, "a")
    async with trying(built) as it:
        await it.answer(A, B)

        assert it.results == [("a", UpstreamBusy.code), ("b", "ok")]
        assert not first.connections


async def test_what_an_upstream_said_is_passed_on_although_the_next_one_could_not_be_asked(
    first: Upstream, second: Upstream
) -> None:
    first.script(answer(BUSY, 429, headers=[("Retry-After", "40")]))
    built = over(first, second, circuit={"failures": 1})
    await _break(built, "b")
    async with trying(built) as it:
        await it.answer(A, B)

        assert it.results == [("a", "rate_limited"), ("b", UpstreamBusy.code)]
        assert it.it.sent.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nRetry-After: 40\r\n" in it.it.sent


async def test_open_circuit_of_the_only_target_does_not_keep_anyone_out(first: Upstream) -> None:
    first.script(GOOD)
    built = over(first, circuit={"failures": 1})
    await _break(built, "a")
    async with trying(built) as it:
        await it.answer()

        assert it.results == [("a", "ok")]


async def _break(built: Runtime, name: str) -> None:
    """Open the circuit of an upstream."""
    now = time.monotonic()
    permit = built.health.admit(name, now, only=False)
    assert permit is not None
    built.health.report(permit, verdict_of(UpstreamConnectFailed()), now)
    assert not built.health.usable(name, now)


@pytest.mark.parametrize(("max_body", "tried"), [("1KiB", 2), ("16B", 1)])
async def test_body_beyond_the_retry_limit_is_sent_once(first: Upstream, second: Upstream, max_body: str, tried: int) -> None:
    first.script(answer(BUSY, 503))
    second.script(GOOD)
    async with trying(over(first, second, retry={"max_body": max_body})) as it:
        await it.answer(A, B)

        assert len(it.results) == tried


async def test_error_event_of_the_last_attempt_is_relayed_as_it_came(first: Upstream) -> None:
    first.script(stream(ERROR_EVENT, DONE))
    async with trying(over(first, retry={"attempts": 1})) as it:
        await it.answer()

        assert it.relayed[0].startswith(ERROR_EVENT)
        assert it.call.exchange.outcome is Outcome.IN_BAND_ERROR
        assert it.results == [("a", "upstream_error_event")]


async def test_error_event_that_comes_first_is_replaced_by_another_targets_answer(first: Upstream, second: Upstream) -> None:
    first.script(stream(ERROR_EVENT, DONE))
    second.script(GOOD)
    async with trying(over(first, second)) as it:
        await it.answer(A, B)

        assert it.relayed == (TOKEN + FINISH + DONE, True)
        assert it.results == [("a", "upstream_error_event"), ("b", "ok")]


async def test_answer_that_breaks_is_cut_and_never_replaced(first: Upstream, second: Upstream) -> None:
    first.script(stream(TOKEN, Gate("relayed"), Rst()))
    tasks = Tasks()
    async with trying(over(first, second)) as it:
        going = tasks.spawn(it.answer(A, B), name="answer")
        await until(lambda: TOKEN in it.it.body)
        first.open("relayed")
        await going

        body, complete = it.relayed
        assert body.startswith(TOKEN + b"data: ")
        assert b"upstream_reset" in body
        assert not complete
        assert it.call.exchange.outcome is Outcome.UPSTREAM_RESET
        assert it.results == [("a", "upstream_reset")]
        assert not second.connections


async def test_json_behind_an_early_commit_is_unexpected(first: Upstream) -> None:
    first.script(answer(ANSWER))
    async with trying(over(first, streaming={"commit_after": "0s"}, retry={"attempts": 1})) as it:
        it.stream.tick(time.monotonic(), time.time())
        committed = it.call.downstream.committed

        with pytest.raises(UpstreamUnexpected):
            await it.answer()

        assert committed
        assert b"choices" not in it.it.body


@pytest.mark.parametrize("where", ["headers", "event", "backoff"])
async def test_cancelled_attempt_says_so_and_gives_everything_back(first: Upstream, where: str) -> None:
    gate = stream(TOKEN, Gate("here"))
    scripts = {
        "headers": Reply(before=[Gate("here")]),
        "event": gate,
        "backoff": answer(BUSY, 503, headers=[("Retry-After", "20")]),
    }
    first.script(scripts[where])
    built, tasks = over(first, streaming={"commit_after": "60s", "first_token_timeout": "90s"}), Tasks()
    async with trying(built) as it:
        going = tasks.spawn(it.answer(), name="answer")
        if where == "backoff":
            await until(lambda: bool(it.call.exchange.retries))
        else:
            await first.reached("here")

        await tasks.close()

        assert going.cancelled()
        assert it.results == [("a", "overloaded" if where == "backoff" else "cancelled")]
        assert it.idle()


async def test_nobody_is_left_waiting_for_credentials_when_a_deadline_had_passed_before(
    first: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first.always(verbatim(Hang()))
    Aws(monkeypatch, tmp_path).container(first.url)
    built = over(first, retry={"attempts": 1})
    signer = built.backends["a"].signer = BedrockSigner("a", config.Upstream(kind="bedrock"))
    async with trying(built) as it:
        it.stream.failure = UpstreamTimeout("late")

        with pytest.raises(UpstreamTimeout):
            await it.answer()

        await turns()
        assert not signer._waiting
    await signer.close()
