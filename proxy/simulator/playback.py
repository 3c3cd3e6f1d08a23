"""Plays one answer under one scenario on one wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from proxy.simulator.dialect import Answer, Event, Failure, Part, Refusal, Stream, Whole
from proxy.simulator.scenarios import Scenario
from proxy.simulator.wire import JSON, Wire

_REFUSALS: Final = frozenset({"rate_limit", "server_error"})
_BREAKS: Final = frozenset({"stall", "truncate", "reset", "reset_mid_event", "error_event_late"})  # in the middle of an answer


class Playback:
    """One performance. `headers` makes the headers when the answer begins; `refuse` is the dialect's word for failures."""

    __slots__ = ("_headers", "_pace", "_refusal", "_scenario", "_wire")

    def __init__(
        self,
        wire: Wire,
        scenario: Scenario,
        *,
        pace: float,
        headers: Callable[[], Mapping[str, str]],
        refuse: Callable[[Failure], Refusal],
    ) -> None:
        self._wire = wire
        self._scenario = scenario
        self._pace = pace if scenario.pace is None else scenario.pace
        self._headers = headers
        self._refusal = refuse

    async def run(self, answer: Answer) -> None:
        """Play *answer* to its end, good or bad. Raises ConnectionError when the client is gone."""
        if self._scenario.name in _REFUSALS:
            self._refuse()
        elif self._scenario.name == "timeout":
            await asyncio.sleep(self._scenario.delay)
            self._wire.hang_up()
        elif answer.stream is None:
            await self._play_whole(answer)
        else:
            await self._play_stream(answer.stream)

    def _refuse(self) -> None:
        failure = self._scenario.failure()
        refusal = self._refusal(failure)
        self._wire.answer(failure.status, refusal.body, {**self._headers(), **refusal.headers})

    async def _open(self, content_type: str, *, framed: bool = True) -> None:
        await self._wire.open({**self._headers(), "Content-Type": content_type}, framed=framed)

    async def _play_stream(self, stream: Stream) -> None:
        framed = self._scenario.framing != "close"
        await self._open(stream.content_type, framed=framed)
        if self._scenario.name == "pings_only":
            await self._ping(stream.idle)
        elif self._scenario.name == "error_event_first":
            await self._wire.send(stream.error_event(self._scenario.failure(), 0))
            await self._wire.finish()
        elif self._scenario.name == "slow_first_token":
            await asyncio.sleep(self._scenario.delay)
            await self._tell(stream)
        else:
            await self._tell(stream)

    async def _tell(self, stream: Stream) -> None:
        send = self._wire.send_split if self._scenario.name == "split_bytes" else self._wire.send
        whole = self._scenario.name not in _BREAKS
        tokens = 0
        for sent, event in enumerate(stream.events(self._scenario.shape)):
            if not whole and self._breaks_at(event, tokens):
                whole = await self._break(stream, event, sent)
                if not whole:
                    return
            if event.part is Part.TOKEN:
                tokens += 1
                await asyncio.sleep(self._pace)
            await send(event.bytes)
        await self._wire.finish()

    def _breaks_at(self, event: Event, tokens: int) -> bool:
        """Say whether the answer breaks before *event*: after so many tokens, and in any case before its end."""
        due = self._scenario.after == 0 or (event.part is Part.TOKEN and tokens >= self._scenario.after)
        return due or event.part is Part.END

    async def _break(self, stream: Stream, event: Event, sent: int) -> bool:
        """Do what goes wrong before *event*; True if the answer goes on after it."""
        if self._scenario.name == "reset_mid_event":
            await self._wire.send(event.bytes[: len(event.bytes) // 2])
        elif self._scenario.name == "error_event_late":
            await self._wire.send(stream.error_event(self._scenario.failure(), sent))
        return await self._end_badly()

    async def _end_badly(self) -> bool:
        name = self._scenario.name
        if name == "stall":
            await asyncio.sleep(self._scenario.delay)
        elif name == "truncate" and self._scenario.framing != "chunked-clean":
            self._wire.hang_up()
        elif name in {"reset", "reset_mid_event"}:
            self._wire.reset()
        else:
            await self._wire.finish()
        return name == "stall"

    async def _ping(self, idle: bytes) -> None:
        while True:
            if idle:
                await self._wire.send(idle)
            await asyncio.sleep(self._scenario.interval)

    async def _play_whole(self, answer: Answer) -> None:
        name = self._scenario.name
        if name == "pings_only":
            await self._open(JSON)
            await self._ping(b"\n")
        whole = answer.whole(self._scenario.shape)
        await asyncio.sleep(whole.tokens * self._pace + (self._scenario.delay if name == "slow_first_token" else 0))
        if name in {"error_event_first", "error_event_late"}:
            self._wire.answer(200, self._refusal(self._scenario.failure()).body, self._headers())
        elif name == "split_bytes" or name in _BREAKS:
            await self._hinder_whole(whole)
        else:
            self._wire.answer(200, whole.body, {**self._headers(), **whole.headers})

    async def _hinder_whole(self, whole: Whole) -> None:
        headers = {**self._headers(), "Content-Type": JSON, **whole.headers}
        if self._scenario.name == "split_bytes":
            await self._wire.open(headers, length=len(whole.body))
            await self._wire.send_split(whole.body)
            await self._wire.finish()
        else:
            await self._break_whole(whole.body, headers)

    async def _break_whole(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send half of *body*, then do what goes wrong."""
        framing, half = self._scenario.framing, len(body) // 2
        length = len(body) if framing == "chunked" else None
        await self._wire.open(headers, length=length, framed=framing != "close")
        await self._wire.send(body[:half])
        if await self._end_badly():
            await self._wire.send(body[half:])
            await self._wire.finish()
