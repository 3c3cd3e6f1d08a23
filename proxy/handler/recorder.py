"""The one place from which metrics and the access log are fed, once per request."""

from __future__ import annotations

from proxy.access_log import AccessLog
from proxy.exchange import Exchange
from proxy.metrics import Metrics


class Recorder:
    """Writes a closed exchange down everywhere it belongs."""

    def __init__(self, metrics: Metrics, access_log: AccessLog) -> None:
        self._metrics = metrics
        self._access_log = access_log

    def record(self, exchange: Exchange) -> None:
        """Record a finished *exchange*; it must have its outcome."""
        self._metrics.record(exchange)
        self._access_log.write(exchange)
