from __future__ import annotations

from typing import Any

import pytest

from proxy.supervisor.upstreams import merged


def view(name: str = "a", **changes: Any) -> dict[str, Any]:
    calm = {"failures": 0, "open_for_s": 0.0, "cooling_for_s": 0.0, "in_use": 0, "idle": 0}
    return {"name": name, "kind": "openai", "state": "closed", **calm, **changes}


@pytest.mark.parametrize("states", [("closed", "open"), ("open", "half_open"), ("open", "closed")])
def test_an_upstream_is_as_bad_as_where_it_is_worst(states: tuple[str, str]) -> None:
    (shown,) = merged([[view(state=state)] for state in states])

    assert shown["state"] == "open"


def test_a_half_open_circuit_is_worse_than_a_closed_one() -> None:
    (shown,) = merged([[view()], [view(state="half_open")]])

    assert shown["state"] == "half_open"


def test_connections_add_up_and_waits_do_not() -> None:
    one = view(in_use=2, idle=1, failures=3, open_for_s=4.0, cooling_for_s=0.5)
    other = view(in_use=1, idle=5, failures=1, open_for_s=1.0, cooling_for_s=2.5)

    (shown,) = merged([[one], [other]])

    assert shown == view(in_use=3, idle=6, failures=3, open_for_s=4.0, cooling_for_s=2.5)


def test_each_upstream_is_shown_once_also_when_a_worker_does_not_know_it_yet() -> None:
    shown = merged([[view("a")], [view("a"), view("b", idle=1)], []])

    assert shown == [view("a"), view("b", idle=1)]
