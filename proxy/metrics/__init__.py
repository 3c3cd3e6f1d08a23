"""What Prometheus gets to see: every request folded once from its exchange, live streams added when asked."""

from proxy.metrics.recorder import CONTENT_TYPE, Metrics
from proxy.metrics.snapshot import Ledger, Snapshot
from proxy.metrics.vitals import Vitals

__all__ = ["CONTENT_TYPE", "Ledger", "Metrics", "Snapshot", "Vitals"]
