"""What governs a request once its model is known: clocks and keepalives, worked out once per configured model."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects.base import Dialect, Framing, Keepalive
from proxy.dialects.keepalives import SPACE, Constant, styled
from proxy.downstream import Headers
from proxy.headers import stream_headers
from proxy.settings import Settings, Streaming
from proxy.streaming import NEVER, Clocks, Plan

_EARLY_STREAM: Headers = tuple(stream_headers())
_EARLY_JSON: Headers = ((b"Content-Type", b"application/json"),)


class Plans:
    """The plans under one configuration, made when first asked for; there are few of them."""

    __slots__ = ("_limits", "_made", "_passthrough")

    def __init__(self, settings: Settings) -> None:
        self._limits = settings.limits
        self._passthrough = settings.streaming
        self._made: dict[tuple[str, str, bool], Plan] = {}

    def of_model(self, route: str, streaming: Streaming, dialect: Dialect, *, stream: bool) -> Plan:
        """Return the plan for a model's requests in one dialect."""
        key = (route, dialect.name, stream)
        plan = self._made.get(key)
        if plan is None:
            plan = self._made[key] = self._stream(streaming, dialect) if stream else self._whole(streaming)
        return plan

    def of_passthrough(self, dialect: Dialect) -> Plan:
        """Return the plan for named upstreams: nothing is committed early, and only silence ends an answer."""
        plan = self._made.get(("", dialect.name, True))
        if plan is None:
            streaming = self._passthrough
            clocks = self._clocks(streaming, {"first": streaming.first_token_timeout, "idle": streaming.idle_timeout})
            plan = Plan(clocks, _frames(streaming, dialect), Framing.EVENTS, _EARLY_STREAM)
            self._made["", dialect.name, True] = plan
        return plan

    def _stream(self, streaming: Streaming, dialect: Dialect) -> Plan:
        keepalive = _frames(streaming, dialect)
        clocks = self._clocks(
            streaming,
            {
                "commit_after": _commit_after(streaming, dialect),
                "first": streaming.first_token_timeout,
                "idle": streaming.idle_timeout,
                "content": streaming.content_timeout,
            },
        )
        return Plan(clocks, keepalive, dialect.stream_framing, _early(dialect))

    def _whole(self, streaming: Streaming) -> Plan:
        after = streaming.json_keepalive_after
        clocks = self._clocks(streaming, {"commit_after": after or NEVER, "whole": streaming.response_timeout})
        return Plan(clocks, Constant(SPACE) if after else None, Framing.WHOLE, _EARLY_JSON)

    def _clocks(self, streaming: Streaming, own: Mapping[str, float]) -> Clocks:
        never = dict.fromkeys(("commit_after", "first", "whole", "idle", "content"), NEVER)
        return Clocks(
            **{**never, **own},
            patience=min(streaming.commit_after, own.get("commit_after", NEVER)),
            attempt=streaming.attempt_timeout,
            interval=streaming.keepalive_interval,
            write_stall=self._limits.write_stall,
            age=self._limits.stream_age,
            drain=streaming.drain_limit if streaming.on_disconnect == "drain" else 0.0,
        )


def _commit_after(streaming: Streaming, dialect: Dialect) -> float:
    if dialect.at_once:
        return 0.0
    return NEVER if dialect.keepalive() is None else streaming.commit_after


def _early(dialect: Dialect) -> Headers:
    return tuple(stream_headers([(b"Content-Type", dialect.stream_type)]))


def _frames(streaming: Streaming, dialect: Dialect) -> Keepalive | None:
    own_only = dialect.at_once and streaming.keepalive_style != "off"  # its clients know no other frames
    style = "auto" if own_only else streaming.keepalive_style
    return styled(style, streaming.keepalive_text, dialect.keepalive())
