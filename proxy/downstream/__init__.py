"""The client's side: its connection, and the one response on it."""

from proxy.downstream.connection import ClientConnection, Exchanging, PublicServer
from proxy.downstream.response import Downstream, Headers

__all__ = ["ClientConnection", "Downstream", "Exchanging", "Headers", "PublicServer"]
