from __future__ import annotations

import pytest

from proxy.errors import BadRequest, Kind
from proxy.simulator.scenarios import SCENARIOS, Scenario, choose


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("demo", "ok"),
        ("gpt-4o-mini", "ok"),
        ("stall", "ok"),
        ("demo-installation", "ok"),
        ("demo-stalled", "ok"),
        ("demo-stall", "stall"),
        ("Demo-Stall", "stall"),
        ("demo_slow_first_token", "slow_first_token"),
        ("demo-reset-mid-event", "reset_mid_event"),
        ("demo-reset", "reset"),
        ("demo-think-error-event-late", "error_event_late"),
        ("gpt-4o-rate-limit-2026-01-01", "rate_limit"),
    ],
)
def test_model_name_chooses_the_scenario(model: str, name: str) -> None:
    assert choose(None, model).name == name


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_is_chosen_by_model_and_by_header(name: str) -> None:
    by_model = choose(None, f"demo-{name.replace('_', '-')}")
    by_header = choose(name, "demo")

    assert by_model == by_header == choose(name.replace("_", "-"), "demo")
    assert by_header.name == name


def test_header_wins_over_the_model_name() -> None:
    assert choose("ok", "demo-stall") == Scenario(name="ok")


@pytest.mark.parametrize(
    ("header", "scenario"),
    [
        ("ok;pace=250ms;tokens=7", Scenario(pace=0.25, tokens=7)),
        (" stall ; after = 0 ; delay = 2m ", Scenario(name="stall", after=0, delay=120.0)),
        ("slow_first_token", Scenario(name="slow_first_token", delay=8.0)),
        ("slow_first_token;delay=0.5", Scenario(name="slow_first_token", delay=0.5)),
        ("truncate;framing=close", Scenario(name="truncate", after=5, framing="close")),
        ("rate_limit;retry_after=7", Scenario(name="rate_limit", retry_after=7.0, code="rate_limit_exceeded")),
        ("server_error;status=503", Scenario(name="server_error", status=503)),
        ("huge_event", Scenario(name="huge_event", size=5 * 1024 * 1024)),
        ("huge_event;size=64KiB", Scenario(name="huge_event", size=65_536)),
        ("pings_only;interval=10ms", Scenario(name="pings_only", interval=0.01)),
    ],
)
def test_header_sets_parameters(header: str, scenario: Scenario) -> None:
    assert choose(header, "demo") == scenario


@pytest.mark.parametrize("header", ["", "nonsense", "OK!", ";tokens=1", "ok,stall"])
def test_unknown_scenario_is_refused_with_the_known_ones(header: str) -> None:
    with pytest.raises(BadRequest) as refused:
        choose(header, "demo")

    assert all(name in refused.value.public for name in SCENARIOS)
    assert refused.value.param == "X-Test-Scenario"


@pytest.mark.parametrize("header", ["stall;size=5", "stall;after", "stall;", "stall;after=1;after=2", "stall;=1", "ok;delay=1"])
def test_unknown_or_repeated_parameter_is_refused_with_the_known_ones(header: str) -> None:
    with pytest.raises(BadRequest) as refused:
        choose(header, "demo")

    assert all(name in refused.value.public for name in ("pace", "tokens", *SCENARIOS[header.partition(";")[0]]))


@pytest.mark.parametrize(
    "header",
    [
        "ok;pace=-1",
        "ok;pace=fast",
        "ok;pace=2h",
        "ok;pace=61m",
        "ok;pace=",
        "ok;tokens=0",
        "ok;tokens=1.5",
        "ok;tokens=100001",
        "ok;tokens=٣",
        "ok;tokens=99999999999999999999999999999999",
        "huge_event;size=0",
        "huge_event;size=65MiB",
        "huge_event;size=1GiB",
        "truncate;framing=none",
        "server_error;status=404",
        "rate_limit;code=Nope!",
    ],
)
def test_value_that_does_not_fit_is_refused(header: str) -> None:
    with pytest.raises(BadRequest) as refused:
        choose(header, "demo")

    assert header.partition(";")[2].partition("=")[0] in refused.value.public


def test_failures_say_what_they_are() -> None:
    limited, broke, failed = (
        choose(header, "").failure() for header in ("rate_limit", "rate_limit;code=insufficient_quota", "server_error")
    )

    assert (limited.status, limited.kind, limited.code) == (429, Kind.RATE_LIMIT, "rate_limit_exceeded")
    assert (broke.status, broke.code) == (429, "insufficient_quota")
    assert "quota" in broke.message
    assert (failed.status, failed.kind) == (500, Kind.SERVER)


@pytest.mark.parametrize("name", ["rate_limit", "server_error"])
def test_failures_say_when_to_come_back(name: str) -> None:
    assert choose(f"{name};retry_after=7", "").failure().retry_after == 7.0
