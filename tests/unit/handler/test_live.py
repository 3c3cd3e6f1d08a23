from __future__ import annotations

from proxy.handler.live import streams, view
from tests.unit.handler.calling import asked


async def test_a_request_that_is_no_stream_is_not_shown() -> None:
    async with asked() as it:
        assert view(it.call, 0.0) is None
        it.stream(b"data: x\n\n")
        assert view(it.call, 0.0) is None


async def test_a_stream_shows_whose_it_is_how_far_it_came_and_who_is_waited_for() -> None:
    async with asked() as it:
        it.stream(b"data: x\n\n")
        call, exchange = it.call, it.call.exchange
        assert call.stream is not None
        exchange.stream, exchange.subject, exchange.upstream, exchange.progress.chunks = True, "ann", "a", 3
        exchange.remote = "192.0.2.7"
        for now in (1.0, 2.0):
            exchange.progress.content(now)
        call.stream.deadlines.byte_at = exchange.started + 4

        seen = view(call, exchange.started + 10)

        assert seen is not None
        assert (seen["id"], seen["subject"], seen["upstream"], seen["chunks"]) == ("r1", "ann", "a", 3)
        assert (seen["remote"], seen["tokens"]) == ("192.0.2.7", 2)
        assert (seen["seconds"], seen["last_byte_s"], seen["waiting_for"]) == (10.0, 6.0, "upstream")


async def test_what_is_listed_are_the_streams_among_what_is_in_flight() -> None:
    async with asked() as it:
        it.stream(b"data: x\n\n")
        plain = streams([it.call, object()], 0.0)
        it.call.exchange.stream = True

        assert plain == []
        assert [each["id"] for each in streams([it.call, object()], 0.0)] == ["r1"]
