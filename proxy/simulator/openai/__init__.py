"""The OpenAI dialect of the simulated backend: its routes under `/v1`, and Azure's under `/openai`."""

from __future__ import annotations

from typing import Final

from proxy.simulator.dialect import Route
from proxy.simulator.openai import azure
from proxy.simulator.openai.chat import read_chat
from proxy.simulator.openai.common import DIALECT
from proxy.simulator.openai.completions import read_completion
from proxy.simulator.openai.models import read_model, read_models
from proxy.simulator.openai.responses import read_response
from proxy.simulator.openai.vectors import read_embeddings, read_moderations

_DEPLOYMENT: Final = "/openai/deployments/{deployment}"

ROUTES: Final = (
    Route("POST", "/v1/chat/completions", DIALECT, read_chat),
    Route("POST", "/v1/completions", DIALECT, read_completion),
    Route("POST", "/v1/responses", DIALECT, read_response),
    Route("POST", "/v1/embeddings", DIALECT, read_embeddings),
    Route("POST", "/v1/moderations", DIALECT, read_moderations),
    Route("GET", "/v1/models", DIALECT, read_models),
    Route("GET", "/v1/models/{id}", DIALECT, read_model),
    Route("POST", "/openai/v1/chat/completions", DIALECT, read_chat),
    Route("POST", "/openai/v1/responses", DIALECT, read_response),
    Route("POST", "/openai/v1/embeddings", DIALECT, read_embeddings),
    Route("POST", f"{_DEPLOYMENT}/chat/completions", azure.DIALECT, azure.read_deployed_chat),
    Route("POST", f"{_DEPLOYMENT}/completions", azure.DIALECT, azure.read_deployed_completion),
    Route("POST", f"{_DEPLOYMENT}/embeddings", azure.DIALECT, azure.read_deployed_embeddings),
)

__all__ = ["DIALECT", "ROUTES"]
