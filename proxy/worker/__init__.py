"""One of several processes behind one port: serves like a process alone, and obeys and tells its supervisor."""

from proxy.worker.process import run

__all__ = ["run"]
