"""Which clocks and which frames govern which kind of request."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects import CHAT, COMPLETIONS, PLAIN
from proxy.dialects.base import Framing, Keepalive
from proxy.dialects.plain import Plain
from proxy.handler.plans import Plans
from proxy.settings import Settings, Streaming
from proxy.streaming import NEVER, Plan

SECONDS = {
    "commit_after": 3.0,
    "keepalive_interval": 7.0,
    "attempt_timeout": 11.0,
    "first_token_timeout": 13.0,
    "response_timeout": 17.0,
    "idle_timeout": 19.0,
    "content_timeout": 23.0,
}
LIMITS = {"write_stall": 29.0, "stream_age": 31.0}


class Silent(Plain):
    """A dialect in whose streams nothing of ours may stand."""

    def __init__(self) -> None:
        super().__init__("silent")

    def keepalive(self) -> Keepalive | None:
        return None


def settings(**streaming: Any) -> Settings:
    return Settings.model_validate(
        {
            "streaming": {key: f"{value:g}s" for key, value in SECONDS.items()} | streaming,
            "limits": {key: f"{value:g}s" for key, value in LIMITS.items()},
        }
    )


def of_model(configured: Settings, *, stream: bool, dialect: Plain | None = None) -> Plan:
    return Plans(configured).of_model("gpt-*", configured.streaming, dialect or CHAT, stream=stream)


def clocks(plan: Plan, *names: str) -> dict[str, float]:
    return {name: getattr(plan.clocks, name) for name in names}


ENDS = ("commit_after", "first", "whole", "idle", "content")


def test_stream_waits_for_its_tokens_and_never_for_its_whole() -> None:
    plan = of_model(settings(), stream=True)

    assert clocks(plan, *ENDS) == {"commit_after": 3, "first": 13, "whole": NEVER, "idle": 19, "content": 23}
    assert plan.clocks.patience == 3
    assert plan.framing is Framing.EVENTS
    assert (b"Content-Type", b"text/event-stream; charset=utf-8") in plan.early_headers


def test_whole_answer_has_one_deadline_and_is_never_committed_early() -> None:
    plan = of_model(settings(), stream=False)

    assert clocks(plan, *ENDS) == {"commit_after": NEVER, "first": NEVER, "whole": 17, "idle": NEVER, "content": NEVER}
    assert plan.clocks.patience == 3
    assert plan.keepalive is None
    assert plan.framing is Framing.WHOLE
    assert plan.early_headers == ((b"Content-Type", b"application/json"),)


def test_whole_answer_with_white_space_is_committed_when_that_is_due() -> None:
    plan = of_model(settings(json_keepalive_after="2s"), stream=False)

    assert clocks(plan, "commit_after", "patience", "whole") == {"commit_after": 2, "patience": 2, "whole": 17}
    assert plan.keepalive is not None
    assert plan.keepalive.frame(None, id_seen=False, wall=0.0) == b" "


def test_white_space_before_json_does_not_touch_streams() -> None:
    plan = of_model(settings(json_keepalive_after="2s"), stream=True)

    assert plan.clocks.commit_after == 3


def test_named_upstream_is_never_committed_early_and_has_no_clock_on_content() -> None:
    plan = Plans(settings()).of_passthrough(PLAIN)

    assert clocks(plan, *ENDS) == {"commit_after": NEVER, "first": 13, "whole": NEVER, "idle": 19, "content": NEVER}
    assert plan.clocks.patience == 3
    assert plan.framing is Framing.EVENTS


def test_event_stream_of_a_named_upstream_is_kept_alive() -> None:
    plan = Plans(settings()).of_passthrough(PLAIN)

    assert plan.keepalive is not None
    assert plan.keepalive.frame(None, id_seen=False, wall=0.0) == b": keepalive\n\n"


def test_dialect_without_a_frame_is_never_committed_early() -> None:
    """It could not be kept alive behind the commit."""
    plan = of_model(settings(), stream=True, dialect=Silent())

    assert clocks(plan, *ENDS) == {"commit_after": NEVER, "first": 13, "whole": NEVER, "idle": 19, "content": 23}
    assert plan.keepalive is None


def test_keepalives_that_are_off_do_not_put_the_commit_off() -> None:
    plan = of_model(settings(keepalive_style="off"), stream=True)

    assert plan.keepalive is None
    assert plan.clocks.commit_after == 3


@pytest.mark.parametrize(
    ("style", "frame"),
    [
        ("auto", b": hold on\n\n"),
        ("comment", b": hold on\n\n"),
        ("comment-lf", b": hold on\n"),
        ("ping", b'event: ping\ndata: {"type": "ping"}\n\n'),
        ("blank", b"\n"),
    ],
)
def test_frame_is_the_configured_one(style: str, frame: bytes) -> None:
    plan = of_model(settings(keepalive_style=style, keepalive_text="hold on"), stream=True)

    assert plan.keepalive is not None
    assert plan.keepalive.frame(None, id_seen=False, wall=0.0) == frame


def test_what_does_not_depend_on_the_answer_is_the_same_for_all() -> None:
    plans = [of_model(settings(), stream=True), of_model(settings(), stream=False), Plans(settings()).of_passthrough(PLAIN)]

    for plan in plans:
        assert clocks(plan, "attempt", "interval", "write_stall", "age") == {
            "attempt": 11,
            "interval": 7,
            "write_stall": 29,
            "age": 31,
        }


@pytest.mark.parametrize(("on_disconnect", "seconds"), [("cancel", 0.0), ("drain", 37.0)])
def test_stream_is_read_on_after_its_client_only_where_that_is_wanted(on_disconnect: str, seconds: float) -> None:
    plan = of_model(settings(on_disconnect=on_disconnect, drain_limit="37s"), stream=True)

    assert plan.clocks.drain == seconds


def test_model_has_its_own_clocks() -> None:
    configured = settings()
    plans = Plans(configured)
    own = configured.streaming.model_copy(update={"first_token_timeout": 900.0, "keepalive_style": "off"})

    special = plans.of_model("claude-*", own, CHAT, stream=True)
    general = plans.of_model("gpt-*", configured.streaming, CHAT, stream=True)

    assert (special.clocks.first, special.keepalive) == (900, None)
    assert general.clocks.first == 13
    assert general.keepalive is not None


def test_named_upstreams_have_the_general_clocks_whatever_a_model_has() -> None:
    plans = Plans(settings())
    plans.of_model("gpt-*", Streaming(first_token_timeout=900.0), PLAIN, stream=True)

    assert plans.of_passthrough(PLAIN).clocks.first == 13


def test_plan_is_made_once_for_each_model_dialect_and_kind() -> None:
    configured = settings()
    plans = Plans(configured)

    def made() -> list[Plan]:
        streaming = configured.streaming
        return [
            plans.of_model("gpt-*", streaming, CHAT, stream=True),
            plans.of_model("gpt-*", streaming, CHAT, stream=False),
            plans.of_model("gpt-*", streaming, COMPLETIONS, stream=True),
            plans.of_model("o1", streaming, CHAT, stream=True),
            plans.of_passthrough(PLAIN),
        ]

    first, second = made(), made()

    assert [id(plan) for plan in first] == [id(plan) for plan in second]
    assert len({id(plan) for plan in first}) == len(first)
