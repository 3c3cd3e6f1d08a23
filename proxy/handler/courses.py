"""What is decided about a request before any upstream is asked: remembered, because requests are alike all day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from proxy.auth import Principal
from proxy.dialects.base import Dialect, RequestView
from proxy.errors import Forbidden
from proxy.handler.asking import served
from proxy.handler.plans import Plans
from proxy.router import Route, Router, Target
from proxy.streaming import Plan
from proxy.translate import Translators
from proxy.upstream import Backend

_MOST_KNOWN: Final = 1024
_FALLBACKS: Final = ("models", "fallbacks")  # where OpenRouter and others look for them, in the APIs of OpenAI and of Anthropic
_LONGEST_NAME: Final = 256  # clients choose the models: what is remembered of them is bounded


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """The way that requests of one sort take. Its *route* holds only targets that can answer them, perhaps none."""

    route: Route
    plan: Plan
    only: tuple[Target, ...]  # the targets in order, where there is but one to choose from; else empty


class Courses:
    """The courses under one configuration, by what they depend on: the API and its dialect, the model, and who asks."""

    __slots__ = ("_backends", "_known", "_plans", "_router", "_translators")

    def __init__(self, router: Router, plans: Plans, backends: Mapping[str, Backend], translators: Translators) -> None:
        self._router = router
        self._plans = plans
        self._backends = backends
        self._translators = translators
        self._known: dict[tuple[str, Dialect, str, bool, tuple[str, ...] | None], Course] = {}

    def of(self, api: str, dialect: Dialect, view: RequestView, principal: Principal) -> Course:
        """Return the course of a request. Raises Forbidden, and ModelNotFound; neither is remembered."""
        key = (api, dialect, view.model, view.stream, principal.models)
        course = self._known.get(key)
        if course is None:
            course = self._find(api, dialect, view, principal)
            if len(view.model) <= _LONGEST_NAME:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[key] = course
        return course

    def _find(self, api: str, dialect: Dialect, view: RequestView, principal: Principal) -> Course:
        if not principal.may_use(view.model):
            raise Forbidden("model_not_allowed", public="These credentials do not allow this model.")
        route = self._router.resolve(view.model)
        plan = self._plans.of_model(route.name, route.streaming, dialect, stream=view.stream)
        speaking = tuple(each for each in route.targets if served(api, self._backends[each.upstream], self._translators))
        if len(speaking) != len(route.targets):
            route = replace(route, targets=speaking)
        return Course(route, plan, (speaking[0].named(view.model),) if len(speaking) == 1 else ())


def require_fallbacks_allowed(principal: Principal, values: Mapping[str, Any]) -> None:
    """Raise Forbidden for a model beside the first one that *principal* may not use: some backends turn to it when that one fails."""
    for key in _FALLBACKS:
        named = values.get(key)
        for each in named if isinstance(named, list) else () if named is None else (named,):
            name = each.get("model") if isinstance(each, dict) else each
            if not isinstance(name, str) or not principal.may_use(name):
                raise Forbidden("model_not_allowed", public=f"These credentials do not allow a model in '{key}'.")
