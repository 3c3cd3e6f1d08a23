"""The client's side: its connection, and the one response on it."""

from proxy.downstream.connection import ClientConnection, Exchanging, PublicServer
from proxy.downstream.request import Request
from proxy.downstream.response import Downstream, Headers, Sent

__all__ = ["ClientConnection", "Downstream", "Exchanging", "Headers", "PublicServer", "Request", "Sent"]
