"""Decides which targets may serve a model, and in which order they are tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from proxy import settings
from proxy.errors import ModelNotFound
from proxy.globs import Glob, is_literal

_PLACEHOLDER: Final = "{model}"
_CACHE_ENTRIES: Final = 1024
_CACHE_NAME_LENGTH: Final = 256  # clients choose the names: longer ones are matched each time and never kept


class Target(NamedTuple):
    """One upstream, and the model's name over there."""

    upstream: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One configured target of a route. Without a weight of its own it is never drawn first where others carry one."""

    upstream: str
    model: str = _PLACEHOLDER
    weight: float = 0.0

    def named(self, requested: str) -> Target:
        """Return the target for the model name that the client wrote."""
        return Target(self.upstream, requested if self.model == _PLACEHOLDER else self.model.replace(_PLACEHOLDER, requested))


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is configured for the models whose names match `name`; `streaming` is the merged result."""

    name: str
    targets: tuple[Choice, ...]
    streaming: settings.Streaming
    drop_params: bool
    ask_usage: bool
    price: settings.Price | None


class Router:
    """The model table. Built once from the settings, and again on each reload."""

    __slots__ = ("_cache", "_exact", "_table")

    def __init__(self, models: Sequence[settings.Model], streaming_for: Callable[[settings.Model], settings.Streaming]) -> None:
        self._table = tuple((Glob(model.name), _route(model, streaming_for(model))) for model in models)
        self._cache: dict[str, Route] = {}
        self._exact: dict[str, Route] = {}
        for model in models:
            if is_literal(model.name):
                self._exact[model.name] = self._first_match(model.name)

    def resolve(self, model: str) -> Route:
        """Return the first route whose name matches *model*, byte for byte. Raises `ModelNotFound`."""
        route = self._exact.get(model) or self._cache.get(model)
        if route is None:
            route = self._first_match(model)
            self._remember(model, route)
        return route

    def public_names(self) -> tuple[str, ...]:
        """Return the model names that can be listed: a pattern is no name."""
        return tuple(self._exact)

    def pattern_upstreams(self) -> tuple[str, ...]:
        """Return the upstreams whose own model names may be public ones: those that a pattern leads to."""
        names = (choice.upstream for glob, route in self._table if not is_literal(glob.pattern) for choice in route.targets)
        return tuple(dict.fromkeys(names))

    def leads_to(self, model: str, upstream: str) -> bool:
        """Tell whether a request for *model* would reach *upstream* under that very name."""
        try:
            targets = self.resolve(model).targets
        except ModelNotFound:
            return False
        return any(choice.named(model) == Target(upstream, model) for choice in targets)

    def _first_match(self, model: str) -> Route:
        for glob, route in self._table:
            if glob.matches(model):
                return route
        raise ModelNotFound(f"no configured model matches {model[:100]!r}")

    def _remember(self, model: str, route: Route) -> None:
        if len(model) > _CACHE_NAME_LENGTH:
            return
        if len(self._cache) >= _CACHE_ENTRIES:
            self._cache.clear()
        self._cache[model] = route


def candidates(route: Route, model: str, *, draw: float, usable: Callable[[str], bool], stateful: bool) -> tuple[Target, ...]:
    """Return the targets for one request in the order in which they are tried; never an empty tuple.

    *draw* is uniform in [0, 1). A stateful call belongs to the first target, which knows the state that it refers to.
    Unusable upstreams are left out, except that the first target stays when all of them are: the last way is never cut.
    """
    choices = route.targets
    if stateful or len(choices) == 1:
        return (choices[0].named(model),)
    left = [choice for choice in choices if usable(choice.upstream)] or [choices[0]]
    left.insert(0, left.pop(_drawn(left, draw)))
    return tuple(choice.named(model) for choice in left)


def _drawn(choices: list[Choice], draw: float) -> int:
    point = draw * sum(choice.weight for choice in choices)
    last = 0
    for index, choice in enumerate(choices):
        if choice.weight > 0:
            last = index
            point -= choice.weight
            if point < 0:
                break
    return last


def _route(model: settings.Model, streaming: settings.Streaming) -> Route:
    return Route(
        name=model.name,
        targets=tuple(
            Choice(upstream=target.upstream, model=target.model or _PLACEHOLDER, weight=target.weight or 0.0)
            for target in model.targets
        ),
        streaming=streaming,
        drop_params=model.drop_params,
        ask_usage=model.ask_usage,
        price=model.price,
    )
