"""The one place from which metrics and the access log are fed, once per request."""

from __future__ import annotations

from proxy.access_log import AccessLog
from proxy.exchange import Exchange
from proxy.metrics import Metrics
from proxy.store import UsageWriter


class Recorder:
    """Writes a closed exchange down everywhere it belongs."""

    def __init__(self, metrics: Metrics, access_log: AccessLog, usage: UsageWriter | None = None) -> None:
        self._metrics = metrics
        self._access_log = access_log
        self._usage = usage

    def record(self, exchange: Exchange) -> None:
        """Record a finished *exchange*; it must have its outcome."""
        self._metrics.record(exchange)
        self._access_log.write(exchange)
        if self._usage is not None:
            self._usage.record(exchange)
