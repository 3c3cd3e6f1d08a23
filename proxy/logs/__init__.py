"""Where log lines go and what they look like: a writer that never blocks, and the set-up of stdlib logging."""

from proxy.logs.setup import configure, style
from proxy.logs.writer import LineWriter

__all__ = ["LineWriter", "configure", "style"]
