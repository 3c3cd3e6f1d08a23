"""The Bedrock dialect of the simulated backend: Converse, and Claude's own bodies through Invoke."""

from __future__ import annotations

from typing import Final

from proxy.simulator.bedrock.common import DIALECT, INVOKE_STREAM
from proxy.simulator.bedrock.converse import read_converse, read_converse_stream
from proxy.simulator.bedrock.invoke import read_invoke, read_invoke_stream
from proxy.simulator.dialect import Route

ROUTES: Final = (
    Route("POST", "/model/{id}/converse", DIALECT, read_converse),
    Route("POST", "/model/{id}/converse-stream", DIALECT, read_converse_stream),
    Route("POST", "/model/{id}/invoke", DIALECT, read_invoke),
    Route("POST", "/model/{id}/invoke-with-response-stream", INVOKE_STREAM, read_invoke_stream),
)

__all__ = ["DIALECT", "ROUTES"]
