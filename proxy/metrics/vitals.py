"""What the operating system knows of each worker process, by its number; the client library knows one process only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

CPU: Final = "process_cpu_seconds"
MEMORY: Final = "process_resident_memory_bytes"
FILES: Final = "process_open_fds"


class Vitals:
    """A collector over the processes that run.

    *pids* returns them by the label value `worker`, *restarts* how many came anew, *hangs* how many of those before had to be killed.
    """

    def __init__(self, pids: Callable[[], Mapping[str, int]], restarts: Callable[[], int], hangs: Callable[[], int]) -> None:
        self._pids = pids
        self._restarts = restarts
        self._hangs = hangs

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics; the registry calls this."""
        labels = ("worker",)
        cpu = CounterMetricFamily("llm_proxy_worker_cpu_seconds_total", "CPU time of a worker process.", labels=labels)
        memory = GaugeMetricFamily("llm_proxy_worker_resident_memory_bytes", "Memory of a worker process.", labels=labels)
        files = GaugeMetricFamily("llm_proxy_worker_open_fds", "Open files of a worker process.", labels=labels)
        for worker, pid in self._pids().items():
            found = {metric.name: metric.samples[0].value for metric in _process(pid)}
            for name, family in ((CPU, cpu), (MEMORY, memory), (FILES, files)):
                if name in found:
                    family.add_metric((worker,), found[name])
        yield from (cpu, memory, files)
        yield CounterMetricFamily(
            "llm_proxy_worker_restarts_total", "Worker processes started in place of one that ended.", value=self._restarts()
        )
        yield CounterMetricFamily(
            "llm_proxy_worker_hangs_total", "Worker processes killed because they did not answer.", value=self._hangs()
        )


def _process(pid: int) -> Iterable[Metric]:
    return ProcessCollector(pid=lambda: pid, registry=None).collect()
