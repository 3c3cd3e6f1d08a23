"""One answer on its way: the join of relay, upstream and client, and the clock of all of them."""

from proxy.streaming.clocks import NEVER, Clocks, Plan, WriteStall
from proxy.streaming.stream import Stream
from proxy.streaming.ticker import Lingering, Ticker, period_for

__all__ = ["NEVER", "Clocks", "Lingering", "Plan", "Stream", "Ticker", "WriteStall", "period_for"]
