"""Makes one view of the upstreams out of the views of all workers: what is worst, and the sum of what is in use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

WORST_FIRST: Final = ("open", "half_open", "closed")
WORST: Final = ("failures", "open_for_s", "cooling_for_s")
SUMMED: Final = ("in_use", "idle")

View = Mapping[str, Any]


def merged(views: Iterable[Iterable[View]]) -> list[View]:
    """Return each upstream once, in the order of the first worker."""
    result: dict[str, View] = {}
    for view in views:
        for upstream in view:
            known = result.get(upstream["name"])
            result[upstream["name"]] = upstream if known is None else _both(known, upstream)
    return list(result.values())


def _both(one: View, other: View) -> View:
    state = min(one["state"], other["state"], key=WORST_FIRST.index)
    worst = {key: max(one[key], other[key]) for key in WORST}
    return {**one, "state": state, **worst, **{key: one[key] + other[key] for key in SUMMED}}
