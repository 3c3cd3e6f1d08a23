"""For every alert one history that must fire it and one, much like it, that must not; a value for each minute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Case:
    """What Prometheus has seen, in promtool's notation (`0+60x90`: 0, 60, 120, … for 90 minutes), and who it concerns."""

    alert: str
    fires: bool
    series: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)  # those that the alert must carry, besides its own
    minutes: int = 90


OPENAI: Final = {"upstream": "openai"}
CHAT: Final = {"route": "chat"}
REPLICA: Final = {"instance": "proxy:9090"}


def requests(outcome: str, values: str, *, stream: str = "true") -> dict[str, str]:
    """Requests to openai that ended so."""
    labels = f'route="chat",upstream="openai",dialect="chat",stream="{stream}",status="200",outcome="{outcome}"'
    return {f"llm_proxy_requests_total{{{labels}}}": values}


def histogram(name: str, labels: str, buckets: Mapping[str, str]) -> dict[str, str]:
    """The buckets of a histogram by their bounds, the last one being that of everything, and its count."""
    everything = buckets["+Inf"]
    series = {f'{name}_bucket{{{labels},le="{bound}"}}': values for bound, values in buckets.items()}
    return {**series, f"{name}_count{{{labels}}}": everything}


def first_tokens(quick: str, slow: str) -> dict[str, str]:
    """First tokens of openai: *quick* within 5 s and *slow* within 20 s, both cumulated."""
    buckets = {"5.0": quick, "20.0": slow, "+Inf": slow}
    return histogram("llm_proxy_time_to_first_token_seconds", 'route="chat",upstream="openai"', buckets)


def lag(quick: str, all_of_them: str) -> dict[str, str]:
    """How late the loop was: *quick* of them within 50 ms, the others within 250 ms."""
    buckets = {"0.05": quick, "0.25": all_of_them, "+Inf": all_of_them}
    return histogram("llm_proxy_event_loop_lag_seconds", 'instance="proxy:9090"', buckets)


def keepalives(values: str) -> dict[str, str]:
    return {'llm_proxy_keepalives_sent_total{route="chat",phase="before"}': values}


def attempts(all_of_them: str, retried: str) -> dict[str, str]:
    return {
        'llm_proxy_upstream_attempts_total{upstream="openai",result="ok"}': all_of_them,
        'llm_proxy_retries_total{upstream="openai",reason="rate_limited"}': retried,
    }


def circuit(values: str) -> dict[str, str]:
    return {'llm_proxy_circuit_state{upstream="openai",instance="proxy:9090"}': values}


def draining(state: str, streams: str) -> dict[str, str]:
    labels = 'instance="proxy:9090"'
    return {
        f"llm_proxy_draining{{{labels}}}": state,
        f'llm_proxy_streams_in_flight{{{labels},route="chat",upstream="openai"}}': streams,
    }


GOOD: Final = requests("completed", "0+600x90")

CASES: Final = (
    # 2 % of everything fails; 0.5 % fails, and as many more as you like left or were refused
    Case("LLMProxyErrorRateHigh", True, {**GOOD, **requests("upstream_error", "0+12x90", stream="false")}),
    Case(
        "LLMProxyErrorRateHigh", False,
        {**GOOD, **requests("proxy_error", "0+3x90"), **requests("client_gone", "0+90x90"), **requests("rejected_auth", "0+90x90")},
    ),
    # 2 % for an hour; 2 % until ten minutes ago
    Case("LLMProxyStreamSuccessLow", True, {**GOOD, **requests("upstream_reset", "0+12x90")}, OPENAI),
    Case("LLMProxyStreamSuccessLow", False, {**GOOD, **requests("upstream_reset", "0+12x80 960x10")}, OPENAI),
    # a tenth takes more than 5 s; so does a tenth of very few
    Case("LLMProxyFirstTokenSlow", True, first_tokens("0+54x90", "0+60x90"), OPENAI),
    Case("LLMProxyFirstTokenSlow", False, first_tokens("0x90", "0+0.5x90"), OPENAI),
    # four keepalives for each stream after none; four after two
    Case("LLMProxyKeepalivesRising", True, {**GOOD, **keepalives("0x60 0+2400x30")}, CHAT),
    Case("LLMProxyKeepalivesRising", False, {**GOOD, **keepalives("0+1200x60 72000+2400x30")}, CHAT),
    Case("LLMProxyStreamsStall", True, {**GOOD, **requests("upstream_stalled", "0+12x90")}, OPENAI),
    Case("LLMProxyStreamsStall", False, {**GOOD, **requests("upstream_stalled", "0+3x90")}, OPENAI),
    Case(
        "LLMProxyStreamsTruncated", True,
        {**GOOD, **requests("upstream_truncated", "0+6x90"), **requests("upstream_reset", "0+6x90")}, OPENAI,
    ),
    Case("LLMProxyStreamsTruncated", False, {**GOOD, **requests("upstream_truncated", "0+6x90")}, OPENAI),
    Case("LLMProxyRetriesHigh", True, attempts("0+600x90", "0+60x90"), OPENAI),
    Case("LLMProxyRetriesHigh", False, attempts("0+600x90", "0+18x90"), OPENAI),
    # open with a trial now and then; open once
    Case("LLMProxyCircuitOpen", True, circuit("0x84 2 2 1 2 2 1 2"), OPENAI),
    Case("LLMProxyCircuitOpen", False, circuit("0x88 2 1 0"), OPENAI),
    Case("LLMProxyDown", True, {'up{job="llm-proxy",instance="proxy:9090"}': "1x87 0x3"}, {"job": "llm-proxy", **REPLICA}),
    Case("LLMProxyDown", False, {'up{job="prometheus",instance="proxy:9090"}': "1x87 0x3"}, REPLICA),
    Case("LLMProxyEventLoopLag", True, lag("0+230x90", "0+240x90"), REPLICA),
    Case("LLMProxyEventLoopLag", False, lag("0+239x90", "0+240x90"), REPLICA),
    Case("LLMProxyConfigReloadFailed", True, {'llm_proxy_config_last_reload_success{instance="proxy:9090"}': "1x88 0"}, REPLICA),
    Case("LLMProxyConfigReloadFailed", False, {'llm_proxy_config_last_reload_success{instance="proxy:9090"}': "0 1x88"}, REPLICA),
    # streams that do not end; a drain that nobody holds up, and streams of one that does not drain
    Case("LLMProxyDrainTooLong", True, draining("0x86 1x4", "9x90"), REPLICA),
    Case("LLMProxyDrainTooLong", False, draining("0x86 1x4", "9x86 4 0 0 0"), REPLICA),
    Case("LLMProxyDrainTooLong", False, draining("0x90", "9x90"), REPLICA),
)  # fmt: skip
