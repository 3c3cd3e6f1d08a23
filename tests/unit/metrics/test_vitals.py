from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, generate_latest

from proxy.metrics import Vitals


def shown(pids: dict[str, int], restarts: int = 0, hangs: int = 0) -> str:
    registry = CollectorRegistry()
    registry.register(Vitals(lambda: pids, lambda: restarts, lambda: hangs))
    return generate_latest(registry).decode()


def test_each_worker_shows_what_it_uses() -> None:
    text = shown({"0": os.getpid(), "1": os.getpid()}, restarts=4, hangs=3)

    for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds"):
        for number in "01":
            assert f'llm_proxy_worker_{name}{{worker="{number}"}} ' in text
    assert "llm_proxy_worker_restarts_total 4.0\n" in text
    assert "llm_proxy_worker_hangs_total 3.0\n" in text


def test_a_worker_that_has_just_ended_is_left_out() -> None:
    assert 'worker="' not in shown({"0": 2**22 + 1})  # above the highest process id that Linux gives
