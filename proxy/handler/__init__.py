"""The straight line of one request, and the parts that it needs."""

from proxy.handler import live
from proxy.handler.call import Call
from proxy.handler.handler import Handler
from proxy.handler.recorder import Recorder
from proxy.handler.runtime import Current, Runtime, build

__all__ = ["Call", "Current", "Handler", "Recorder", "Runtime", "build", "live"]
