from __future__ import annotations

import re
from typing import Final

import pytest
from prometheus_client import CollectorRegistry

from proxy.exchange import Attempt, Exchange, Outcome
from proxy.metrics import CONTENT_TYPE, Metrics
from proxy.metrics.families import MAX_SERIES
from tests.support.exchanges import exchange_with
from tests.unit.metrics.exchanges import admitted, completed_stream, left, refused, streaming, whole_answer

# The table of the design, section 8: kind, labels and, for histograms, bounds.
GAPS: Final = "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.0 2.5 5.0 10.0 20.0 30.0 60.0 120.0 300.0"
DURATIONS: Final = GAPS + " 600.0 1200.0 1800.0"
OWN_TIME: Final = "0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25"
TABLE: Final = [
    ("llm_proxy_requests_total", "counter", "dialect outcome route status stream upstream", ""),
    ("llm_proxy_request_duration_seconds", "histogram", "route stream upstream", DURATIONS),
    ("llm_proxy_time_to_first_token_seconds", "histogram", "route upstream", GAPS),
    ("llm_proxy_token_gap_seconds", "histogram", "route upstream", GAPS),
    ("llm_proxy_upstream_headers_seconds", "histogram", "upstream", GAPS),
    ("llm_proxy_overhead_seconds", "histogram", "route", OWN_TIME),
    ("llm_proxy_upstream_attempts_total", "counter", "result upstream", ""),
    ("llm_proxy_retries_total", "counter", "reason upstream", ""),
    ("llm_proxy_keepalives_sent_total", "counter", "phase route", ""),
    ("llm_proxy_committed_early_total", "counter", "route", ""),
    ("llm_proxy_streams_in_flight", "gauge", "route upstream", ""),
    ("llm_proxy_client_disconnects_total", "counter", "phase route", ""),
    ("llm_proxy_cancel_seconds", "histogram", "", OWN_TIME),
    ("llm_proxy_client_backpressure_seconds_total", "counter", "route", ""),
    ("llm_proxy_upstream_silence_seconds_total", "counter", "route", ""),
    ("llm_proxy_tokens_total", "counter", "direction model upstream", ""),
    ("llm_proxy_cost_usd_total", "counter", "direction model upstream", ""),
    ("llm_proxy_circuit_state", "gauge", "upstream", ""),
    ("llm_proxy_auth_failures_total", "counter", "reason", ""),
    ("llm_proxy_event_loop_lag_seconds", "histogram", "", OWN_TIME + " 0.5 1.0 2.5 5.0"),
    ("llm_proxy_build_info", "gauge", "python version", ""),
    ("llm_proxy_config_reloads_total", "counter", "", ""),
    ("llm_proxy_config_last_reload_success", "gauge", "", ""),
    ("llm_proxy_log_lines_dropped_total", "counter", "", ""),
    ("llm_proxy_usage_rows_dropped_total", "counter", "", ""),
    ("llm_proxy_draining", "gauge", "", ""),
]


def lines(metrics: Metrics, prefix: str = "llm_proxy_") -> list[str]:
    text = metrics.render().decode()
    return [line for line in text.splitlines() if line.startswith(prefix)]


def recorded(*exchanges: Exchange) -> Metrics:
    metrics = Metrics()
    for exchange in exchanges:
        metrics.record(exchange)
    return metrics


def everything() -> Metrics:
    """Metrics in which each family of the table has a series."""
    failed = completed_stream()
    failed.committed_early = True
    failed.retries.append(("backup", "upstream_reset"))
    metrics = recorded(failed, refused(), left())
    metrics.live = lambda: [streaming()]
    metrics.circuits = lambda: {"openai": 2}
    return metrics


def test_a_completed_stream_is_exposed_line_by_line() -> None:
    metrics = recorded(completed_stream())

    shown = [line for line in lines(metrics) if "_bucket" not in line and "build_info" not in line]

    assert shown == [
        'llm_proxy_token_gap_seconds_count{route="chat",upstream="openai"} 2.0',
        'llm_proxy_token_gap_seconds_sum{route="chat",upstream="openai"} 2.015625',
        'llm_proxy_keepalives_sent_total{phase="before",route="chat"} 1.0',
        'llm_proxy_keepalives_sent_total{phase="after",route="chat"} 2.0',
        'llm_proxy_client_backpressure_seconds_total{route="chat"} 0.5',
        'llm_proxy_upstream_silence_seconds_total{route="chat"} 2.5',
        'llm_proxy_requests_total{dialect="chat",outcome="completed",route="chat",status="200",stream="true",upstream="openai"} 1.0',
        'llm_proxy_request_duration_seconds_count{route="chat",stream="true",upstream="openai"} 1.0',
        'llm_proxy_request_duration_seconds_sum{route="chat",stream="true",upstream="openai"} 3.0',
        'llm_proxy_time_to_first_token_seconds_count{route="chat",upstream="openai"} 1.0',
        'llm_proxy_time_to_first_token_seconds_sum{route="chat",upstream="openai"} 0.5',
        'llm_proxy_overhead_seconds_count{route="chat"} 1.0',
        'llm_proxy_overhead_seconds_sum{route="chat"} 0.001953125',
        "llm_proxy_cancel_seconds_count 0.0",
        "llm_proxy_cancel_seconds_sum 0.0",
        'llm_proxy_upstream_attempts_total{result="ok",upstream="openai"} 1.0',
        'llm_proxy_upstream_headers_seconds_count{upstream="openai"} 1.0',
        'llm_proxy_upstream_headers_seconds_sum{upstream="openai"} 0.25',
        'llm_proxy_tokens_total{direction="input",model="gpt-*",upstream="openai"} 12.0',
        'llm_proxy_tokens_total{direction="output",model="gpt-*",upstream="openai"} 3.0',
        'llm_proxy_tokens_total{direction="cached",model="gpt-*",upstream="openai"} 4.0',
        'llm_proxy_cost_usd_total{direction="all",model="gpt-*",upstream="openai"} 0.0025',
        "llm_proxy_event_loop_lag_seconds_count 0.0",
        "llm_proxy_event_loop_lag_seconds_sum 0.0",
        "llm_proxy_config_reloads_total 0.0",
        "llm_proxy_log_lines_dropped_total 0.0",
        "llm_proxy_usage_rows_dropped_total 0.0",
        "llm_proxy_draining 0.0",
        "llm_proxy_config_last_reload_success 1.0",
    ]


def test_a_whole_answer_is_exposed_line_by_line() -> None:
    metrics = recorded(whole_answer(), whole_answer())

    shown = [line for line in lines(metrics) if "{" in line and "_bucket" not in line and "build_info" not in line]

    assert shown == [
        'llm_proxy_upstream_silence_seconds_total{route="chat"} 1.5',
        'llm_proxy_requests_total{dialect="chat",outcome="completed",route="chat",status="200",stream="false",upstream="openai"} 2.0',
        'llm_proxy_request_duration_seconds_count{route="chat",stream="false",upstream="openai"} 2.0',
        'llm_proxy_request_duration_seconds_sum{route="chat",stream="false",upstream="openai"} 2.0',
        'llm_proxy_time_to_first_token_seconds_count{route="chat",upstream="openai"} 2.0',
        'llm_proxy_time_to_first_token_seconds_sum{route="chat",upstream="openai"} 1.5',
        'llm_proxy_overhead_seconds_count{route="chat"} 2.0',
        'llm_proxy_overhead_seconds_sum{route="chat"} 0.0',
        'llm_proxy_upstream_attempts_total{result="ok",upstream="openai"} 2.0',
        'llm_proxy_upstream_headers_seconds_count{upstream="openai"} 2.0',
        'llm_proxy_upstream_headers_seconds_sum{upstream="openai"} 1.5',
        'llm_proxy_tokens_total{direction="input",model="gpt-*",upstream="openai"} 24.0',
        'llm_proxy_tokens_total{direction="output",model="gpt-*",upstream="openai"} 6.0',
    ]


def test_attempts_before_a_whole_answer_are_counted() -> None:
    exchange = whole_answer()
    exchange.attempts.insert(0, Attempt("backup", "m", 1000.0, result="upstream_reset"))
    exchange.retries.append(("backup", "upstream_reset"))

    shown = lines(recorded(exchange))

    assert 'llm_proxy_upstream_attempts_total{result="upstream_reset",upstream="backup"} 1.0' in shown
    assert 'llm_proxy_retries_total{reason="upstream_reset",upstream="backup"} 1.0' in shown
    assert 'llm_proxy_upstream_silence_seconds_total{route="chat"} 0.75' in shown


def test_a_histogram_is_cumulative() -> None:
    metrics = recorded(completed_stream())

    shown = lines(metrics, "llm_proxy_token_gap_seconds_bucket")

    counts = [(re.findall(r'le="([^"]+)"', line)[0], line.rsplit(" ", 1)[1]) for line in shown]
    assert counts[:4] == [("0.005", "0.0"), ("0.01", "0.0"), ("0.025", "1.0"), ("0.05", "1.0")]
    assert counts[7:9] == [("1.0", "1.0"), ("2.5", "2.0")]
    assert counts[-1] == ("+Inf", "2.0")


def test_a_refused_request_touches_only_what_it_reached() -> None:
    metrics = recorded(refused())

    shown = [line for line in lines(metrics) if "{" in line and "_bucket" not in line and "build_info" not in line]

    assert shown == [
        'llm_proxy_requests_total{dialect="chat",outcome="rejected_auth",route="chat",status="401",stream="false",upstream="none"} 1.0',
        'llm_proxy_request_duration_seconds_count{route="chat",stream="false",upstream="none"} 1.0',
        'llm_proxy_request_duration_seconds_sum{route="chat",stream="false",upstream="none"} 0.000244140625',
        'llm_proxy_overhead_seconds_count{route="chat"} 1.0',
        'llm_proxy_overhead_seconds_sum{route="chat"} 0.000244140625',
        'llm_proxy_auth_failures_total{reason="expired"} 1.0',
    ]


def test_a_client_that_left_is_told_from_a_failed_upstream() -> None:
    metrics = recorded(left())

    assert (
        'llm_proxy_requests_total{dialect="chat",outcome="client_gone",route="chat",status="none",stream="true",upstream="openai"} 1.0'
    ) in lines(metrics)
    assert lines(metrics, "llm_proxy_client_disconnects_total") == [
        'llm_proxy_client_disconnects_total{phase="first_token",route="chat"} 1.0'
    ]
    assert lines(metrics, "llm_proxy_upstream_attempts_total") == [
        'llm_proxy_upstream_attempts_total{result="cancelled",upstream="openai"} 1.0'
    ]
    assert "llm_proxy_cancel_seconds_count 1.0" in lines(metrics)


LIVE: Final = (
    "llm_proxy_token_gap_seconds",
    "llm_proxy_keepalives",
    "llm_proxy_client_backpressure",
    "llm_proxy_upstream_silence",
)


def test_a_live_stream_is_seen_and_not_counted_again_when_it_ends() -> None:
    exchange = streaming()
    running = [exchange]
    metrics = Metrics(live=lambda: running)
    during = [lines(metrics, prefix) for prefix in LIVE]
    again = [lines(metrics, prefix) for prefix in LIVE]

    exchange.close(Outcome.COMPLETED, 1003.0)
    metrics.record(exchange)
    running.clear()

    assert 'llm_proxy_token_gap_seconds_count{route="chat",upstream="openai"} 2.0' in during[0]
    assert all(during)
    assert during == again
    assert [lines(metrics, prefix) for prefix in LIVE] == during


def test_a_stream_that_ends_in_the_middle_of_a_scrape_is_counted_once() -> None:
    """The text is made piece by piece, and the event loop serves streams in between."""
    exchange = streaming()
    running = [exchange]
    metrics = Metrics(live=lambda: running)
    parts = metrics.render_parts()
    first = next(parts)

    exchange.close(Outcome.COMPLETED, 1003.0)
    metrics.record(exchange)
    running.clear()
    text = (first + b"".join(parts)).decode()

    assert 'llm_proxy_token_gap_seconds_count{route="chat",upstream="openai"} 2.0' in text
    assert 'llm_proxy_keepalives_sent_total{phase="after",route="chat"} 2.0' in text


def test_streams_in_flight_are_those_that_run_now() -> None:
    waiting = admitted(stream=True)
    metrics = Metrics(live=lambda: [streaming(), streaming(), waiting, admitted()])
    before = lines(metrics, "llm_proxy_streams_in_flight")

    metrics.live = list

    assert before == [
        'llm_proxy_streams_in_flight{route="chat",upstream="openai"} 2.0',
        'llm_proxy_streams_in_flight{route="chat",upstream="none"} 1.0',
    ]
    assert lines(metrics, "llm_proxy_streams_in_flight") == [
        'llm_proxy_streams_in_flight{route="chat",upstream="openai"} 0.0',
        'llm_proxy_streams_in_flight{route="chat",upstream="none"} 0.0',
    ]


def test_an_open_exchange_cannot_be_recorded() -> None:
    with pytest.raises(ValueError, match="not been closed"):
        Metrics().record(streaming())


def test_what_the_process_reports_is_exposed() -> None:
    metrics = Metrics(
        circuits=lambda: {"openai": 0, "backup": 2},
        log_lines_dropped=lambda: 7,
        draining=lambda: True,
    )
    metrics.usage_rows_dropped = lambda: 9

    metrics.observe_loop_lag(0.3)
    metrics.config_reloaded(success=False)

    shown = lines(metrics)
    assert 'llm_proxy_circuit_state{upstream="openai"} 0.0' in shown
    assert 'llm_proxy_circuit_state{upstream="backup"} 2.0' in shown
    assert "llm_proxy_log_lines_dropped_total 7.0" in shown
    assert "llm_proxy_usage_rows_dropped_total 9.0" in shown
    assert "llm_proxy_draining 1.0" in shown
    assert 'llm_proxy_event_loop_lag_seconds_bucket{le="0.25"} 0.0' in shown
    assert 'llm_proxy_event_loop_lag_seconds_bucket{le="0.5"} 1.0' in shown
    assert "llm_proxy_config_reloads_total 1.0" in shown
    assert "llm_proxy_config_last_reload_success 0.0" in shown
    assert any(re.fullmatch(r'llm_proxy_build_info\{python="3[.\d]+",version="[.\d]+"\} 1\.0', line) for line in shown)


def test_a_good_reload_after_a_bad_one_is_a_success() -> None:
    metrics = Metrics()
    metrics.config_reloaded(success=False)

    metrics.config_reloaded(success=True)

    assert lines(metrics, "llm_proxy_config") == [
        "llm_proxy_config_reloads_total 2.0",
        "llm_proxy_config_last_reload_success 1.0",
    ]


@pytest.mark.parametrize(("name", "kind", "labels", "bounds"), TABLE)
def test_a_metric_is_as_the_design_has_it(name: str, kind: str, labels: str, bounds: str) -> None:
    text = everything().render().decode()

    series = re.findall(rf"^{name}(?:_bucket)?(?:\{{(.*)\}})? ", text, re.MULTILINE)
    names = [" ".join(label for label in re.findall(r'(\w+)="', one) if label != "le") for one in series]
    assert f"# TYPE {name} {kind}\n" in text
    assert set(names) == {labels}
    if bounds:
        found = dict.fromkeys(bound for one in series for bound in re.findall(r'le="([^"]+)"', one))
        assert " ".join(found) == f"{bounds} +Inf"


def test_every_metric_of_ours_is_in_the_table() -> None:
    names = re.findall(r"^# TYPE (llm_proxy_\w+)", everything().render().decode(), re.MULTILINE)

    assert sorted(names) == sorted([*(row[0] for row in TABLE), "llm_proxy_label_overflow_total"])


def test_the_text_keeps_the_rules_of_prometheus() -> None:
    text = everything().render().decode()

    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\w+) (.+)$", text, re.MULTILINE))
    assert kinds.keys() == helps.keys()
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in kinds.items())
    assert all(name.endswith("_seconds") for name, kind in kinds.items() if kind == "histogram")
    assert "_created" not in text
    assert text.endswith("\n")
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


def test_process_and_platform_are_exposed_too() -> None:
    text = Metrics().render()

    assert b"\nprocess_resident_memory_bytes " in text
    assert b"\npython_info{" in text


def test_each_instance_has_its_own_registry_unless_given_one() -> None:
    registry = CollectorRegistry()
    given, own = Metrics(registry), Metrics()

    given.record(refused())

    assert given.registry is registry
    assert 'llm_proxy_auth_failures_total{reason="expired"} 1.0' in lines(given)
    assert lines(own, "llm_proxy_auth_failures_total") == []


def test_the_number_of_series_is_bounded_and_the_overflow_visible() -> None:
    metrics = Metrics()
    exchange = refused()

    for number in range(MAX_SERIES + 5):
        exchange.auth_failure = f"reason-{number}"
        metrics.record(exchange)

    assert len(lines(metrics, "llm_proxy_auth_failures_total")) == MAX_SERIES + 1
    assert 'llm_proxy_auth_failures_total{reason="other"} 5.0' in lines(metrics)
    assert lines(metrics, "llm_proxy_label_overflow") == [
        'llm_proxy_label_overflow_total{metric="llm_proxy_auth_failures_total"} 5.0'
    ]


def test_nothing_that_a_peer_wrote_becomes_a_label() -> None:
    canary = "sk-canary"
    exchange = completed_stream()
    exchange.request_id = exchange.subject = exchange.remote = exchange.model_requested = canary
    exchange.detail = exchange.upstream_request_id = exchange.method = exchange.code = canary
    exchange.attempts[0].model = canary

    metrics = recorded(exchange)
    metrics.live = lambda: [exchange]

    assert canary.encode() not in metrics.render()


def test_a_moment_at_zero_is_a_moment() -> None:
    exchange = exchange_with("r", 0.0, 0.0, committed=0.0, first_token=0.0, client_gone_at=0.0, upstream_closed_at=0.0)
    exchange.close(Outcome.COMPLETED, 8.0)

    metrics = recorded(exchange)

    assert 'llm_proxy_time_to_first_token_seconds_count{route="other",upstream="none"} 1.0' in lines(metrics)
    assert 'llm_proxy_overhead_seconds_sum{route="other"} 0.0' in lines(metrics)
    assert "llm_proxy_cancel_seconds_count 1.0" in lines(metrics)
