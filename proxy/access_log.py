"""Writes one line per request at its end, from named fields of the exchange and from nothing else.

A field that has nothing to say is left out. Words that a peer chose (model, subject, request ids) are cut to a length and
lose every character that is not printable, so that a line stays one line and a terminal is not steered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.exchange import Attempt, Exchange, Outcome
from proxy.logs.formats import Clock, Format, json_line, level_label, printable, text_value
from proxy.logs.writer import LineWriter

MAX_WORD: Final = 128
MAX_DETAIL: Final = 512
LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_WORDS: Final = ("id", "method", "subject", "remote", "model", "upstream_request_id")
_BACKSLASH: Final = ord("\\")  # stands before what JSON escapes
_DELETE: Final = 0x7F  # the one character of ASCII that is neither printable nor escaped
_COMPLETED: Final = Outcome.COMPLETED  # to name a member of an enumeration is a slow look-up
NOTEWORTHY: Final = frozenset({Outcome.CLIENT_STALLED, Outcome.EXPIRED, Outcome.DRAINED, Outcome.IN_BAND_ERROR})


class AccessLog:
    """The request log. `write` neither blocks nor raises for a sink that is full, stuck or gone."""

    def __init__(self, sink: LineWriter, fmt: Format, *, level: str = "info", colour: bool = False) -> None:
        self._sink = sink
        self._text = fmt == "text"
        self._colour = colour
        self._clock = Clock()
        # by outcome: what each line of that sort begins with; those below the level are missing
        self._known = {o: (_level(o), o.value) for o in Outcome if LEVELS.index(_level(o)) >= LEVELS.index(level)}

    @property
    def dropped(self) -> int:
        """Lines that the sink has lost so far, those of other writers included."""
        return self._sink.dropped

    def write(self, exchange: Exchange) -> None:
        """Write the line of a closed exchange, unless its level is below the configured one.

        Raises ValueError for one that has not been closed.
        """
        outcome, ended = exchange.outcome, exchange.ended
        if outcome is None or ended is None:
            raise ValueError("the exchange has not been closed")
        known = self._known.get(outcome)
        if known is not None:
            fields = _fields(exchange, ended, known, self._clock.rfc3339(exchange.wall))
            self._sink.write(_text_line(_printable(fields), colour=self._colour) if self._text else _json_line(fields))


def _level(outcome: Outcome) -> str:
    if outcome is Outcome.PROXY_ERROR:
        return "error"
    return "warning" if outcome in NOTEWORTHY or outcome.value.startswith("upstream_") else "info"


def _fields(exchange: Exchange, ended: float, known: tuple[str, str], time: str) -> dict[str, Any]:
    """Return the line's fields: what every line has, then what this one has to say besides."""
    started = exchange.started
    overhead = (ended if exchange.committed is None else exchange.committed) - started - exchange.waited
    fields: dict[str, Any] = {
        "time": time,
        "level": known[0],
        "event": "request",
        "id": exchange.request_id,
        "method": exchange.method,
        "route": exchange.route,
        "dialect": exchange.dialect,
        "stream": exchange.stream,
        "outcome": known[1],
        "duration_ms": _ms(ended - started),
        "overhead_ms": _ms(overhead) if overhead > 0 else 0.0,
    }
    if status := exchange.status:
        fields["status"] = status
    if exchange.outcome is not _COMPLETED:
        _put_failure(fields, exchange)
    _put_words(fields, exchange)
    if exchange.attempts:
        _put_attempts(fields, exchange, ended)
    if (first_token := exchange.progress.first_token) is not None:
        fields["first_token_ms"] = _ms(first_token - started)
    if not exchange.whole:
        _put_stream(fields, exchange)
    _put_amounts(fields, exchange)
    return fields


def _put_failure(fields: dict[str, Any], exchange: Exchange) -> None:
    if exchange.code:
        fields["code"] = exchange.code
    if exchange.auth_failure:
        fields["auth_failure"] = exchange.auth_failure
    if exchange.detail:
        fields["detail"] = exchange.detail[:MAX_DETAIL]
    if exchange.outcome is Outcome.CLIENT_GONE:
        fields["phase"] = exchange.phase.value


def _put_words(fields: dict[str, Any], exchange: Exchange) -> None:
    """Put what peers have chosen, cut to a length. Nearly always all of it together is no longer, which one look tells."""
    subject, remote, model, theirs = exchange.subject, exchange.remote, exchange.model_requested, exchange.upstream_request_id
    if subject:
        fields["subject"] = subject
    if remote:
        fields["remote"] = remote
    if model:
        fields["model"] = model
    if theirs:
        fields["upstream_request_id"] = theirs
    if len(f"{exchange.request_id}{exchange.method}{subject}{remote}{model}{theirs}") > MAX_WORD:
        fields.update({name: fields[name][:MAX_WORD] for name in _WORDS if name in fields})
    if upstream := exchange.upstream:
        fields["upstream"] = upstream


def _put_attempts(fields: dict[str, Any], exchange: Exchange, ended: float) -> None:
    fields["attempts"] = [_attempt(attempt, ended) for attempt in exchange.attempts]
    fields["silence_ms"] = _ms(exchange.silence_seconds)
    if exchange.retries:
        fields["retries"] = len(exchange.retries)


def _put_stream(fields: dict[str, Any], exchange: Exchange) -> None:
    """Put what cannot have happened to an answer that went out whole."""
    if exchange.progress.longest_gap:
        fields["longest_gap_ms"] = _ms(exchange.progress.longest_gap)
    if exchange.backpressure_seconds:
        fields["backpressure_ms"] = _ms(exchange.backpressure_seconds)
    if keepalives := exchange.keepalives_before + exchange.keepalives_after:
        fields["keepalives"] = keepalives
    if exchange.committed_early:
        fields["committed_early"] = True
    if exchange.observer_skips:
        fields["observer_skips"] = exchange.observer_skips


def _put_amounts(fields: dict[str, Any], exchange: Exchange) -> None:
    progress = exchange.progress
    if received := exchange.bytes_in:
        fields["bytes_in"] = received
    if sent := progress.bytes_out:
        fields["bytes_out"] = sent
    if chunks := progress.chunks:
        fields["chunks"] = chunks
    if (usage := exchange.usage) is not None:
        if usage.tokens_in is not None:
            fields["tokens_in"] = usage.tokens_in
        if usage.tokens_out is not None:
            fields["tokens_out"] = usage.tokens_out
        if usage.cached:
            fields["tokens_cached"] = usage.cached
        if exchange.cost_usd:
            fields["cost_usd"] = exchange.cost_usd


def _attempt(attempt: Attempt, ended: float) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "upstream": attempt.upstream,
        "model": attempt.model[:MAX_WORD],
        "result": attempt.result or "cancelled",
        "ms": _ms((attempt.ended or ended) - attempt.started),
    }
    if status := attempt.status:
        fields["status"] = status
    if attempt.reused:
        fields["reused"] = True
    return fields


def _json_line(fields: dict[str, Any]) -> bytes:
    """Write *fields* down. In nearly every line nothing has to be made printable, which the line itself tells soonest."""
    line = json_line(fields)
    return line if line.isascii() and _BACKSLASH not in line and _DELETE not in line else json_line(_printable(fields))


def _printable(fields: dict[str, Any]) -> dict[str, Any]:
    """Make what peers have chosen printable; all of it has been cut."""
    for name in (*_WORDS, "detail"):
        if name in fields:
            fields[name] = printable(fields[name], MAX_DETAIL)
    for attempt in fields.get("attempts", ()):
        attempt["model"] = printable(attempt["model"], MAX_WORD)
    return fields


def _ms(seconds: float) -> float:
    return (seconds * 1e5 + 0.5) // 1.0 / 100.0  # they are not negative; `round` takes many times as long


def _text_line(fields: Mapping[str, Any], *, colour: bool) -> bytes:
    """Lay *fields* out for reading: fixed columns first, then `key=value`, the request id last."""
    rest = {name: value for name, value in fields.items() if name not in _COLUMNS}
    if attempts := rest.pop("attempts", None):
        rest["attempts"] = ",".join(f"{attempt['upstream']}:{attempt['result']}" for attempt in attempts)
    columns = (
        fields["time"][11:],
        level_label(fields["level"], colour=colour),
        f"{fields.get('status', '-'):>3}",
        f"{fields['outcome']:<20}",
        f"{fields.get('method', '-'):<4}",
        f"{fields['route']:<12}",
        f"{fields.get('duration_ms', 0) / 1000:>9.3f}s",
    )
    values = (f"{name}={text_value(value)}" for name, value in rest.items())
    return " ".join([*columns, *values, f"id={fields['id']}"]).encode() + b"\n"


_COLUMNS: Final = frozenset({"time", "level", "event", "id", "method", "route", "status", "outcome", "duration_ms"})
