"""What Prometheus gets to see: every request folded once from its exchange, live streams added when asked."""

from proxy.metrics.recorder import CONTENT_TYPE, Metrics

__all__ = ["CONTENT_TYPE", "Metrics"]
