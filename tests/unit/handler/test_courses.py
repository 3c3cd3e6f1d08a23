"""What is decided before any upstream is asked, and for how long that is true."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects import CHAT
from proxy.dialects.base import RequestView
from proxy.errors import Forbidden, ModelNotFound
from proxy.handler import Runtime
from proxy.handler.courses import Course, require_fallbacks_allowed
from proxy.router import Target
from tests.support.house import settings
from tests.unit.handler.calling import principal, runtime

URL = "http://127.0.0.1:9"


def course(
    under: Runtime, model: str = "gpt-test", *, api: str = "chat", stream: bool = False, models: tuple[str, ...] = ()
) -> Course:
    return under.courses.of(api, CHAT, RequestView(model, stream), principal(*models))


async def test_a_course_is_decided_once_for_requests_that_are_alike() -> None:
    under = runtime(settings(URL))

    assert course(under) is course(under)


@pytest.mark.parametrize(
    "other",
    [{"model": "gpt-other"}, {"stream": True}, {"api": "completions"}, {"models": ("gpt-*",)}],
    ids=lambda it: next(iter(it)),
)
async def test_requests_that_differ_in_what_decides_have_courses_of_their_own(other: dict[str, Any]) -> None:
    under = runtime(settings(URL))

    assert course(under) is not course(under, **other)


async def test_the_only_target_is_named_and_of_several_none() -> None:
    assert course(runtime(settings(URL))).only == (Target("a", "gpt-test"),)
    assert course(runtime(settings(URL, URL))).only == ()
    assert len(course(runtime(settings(URL, URL))).route.targets) == 2


async def test_targets_that_cannot_answer_are_left_out() -> None:
    """An upstream that has embeddings only is no target of a chat, and the other one is the only one."""
    under = runtime(settings(URL, URL, upstreams={"a": {"apis": ["embeddings"]}}))

    assert course(under).only == (Target("b", "gpt-test"),)
    assert course(under, api="nobody's").route.targets == ()


async def test_a_refusal_is_not_remembered_as_leave_for_others() -> None:
    under = runtime(settings(URL))
    course(under)

    with pytest.raises(Forbidden):
        course(under, models=("claude-*",))
    with pytest.raises(ModelNotFound):
        course(under, "nobody's")
    assert course(under, models=("gpt-*",)).route.name == "gpt-*"


async def test_what_clients_invent_takes_a_bounded_memory() -> None:
    under = runtime(settings(URL))

    for number in range(1100):
        course(under, f"gpt-{number}")
        course(under, f"gpt-{number}-" + "x" * 300)

    assert 0 < len(under.courses._known) <= 1024
    assert max(len(model) for _, _, model, _, _ in under.courses._known) < 300


@pytest.mark.parametrize(
    "values",
    [
        {"models": ["gpt-4", "o1"]},
        {"models": "o1"},
        {"models": [["gpt-4"]]},
        {"models": {"model": "o1"}},
        {"fallbacks": [{"model": "gpt-4"}, {"model": "o1"}]},
        {"fallbacks": [{"name": "gpt-4"}]},
        {"models": ["gpt-4"], "fallbacks": [7]},
    ],
    ids=repr,
)
async def test_caller_of_few_models_gets_no_other_one_when_the_first_fails(values: dict[str, Any]) -> None:
    """Whoever names them can see to it that the first one fails."""
    with pytest.raises(Forbidden):
        require_fallbacks_allowed(principal("gpt-*"), values)


@pytest.mark.parametrize(
    "values",
    [{}, {"models": None}, {"models": []}, {"models": ["gpt-4", "gpt-5"]}, {"fallbacks": [{"model": "gpt-4"}]}, {"model": "o1"}],
    ids=repr,
)
async def test_caller_of_few_models_may_fall_back_on_those(values: dict[str, Any]) -> None:
    require_fallbacks_allowed(principal("gpt-*"), values)
