"""The configuration: its model, its reader, and errors that name file:line:column."""

from __future__ import annotations

from proxy.settings.backends import Model, Price, Streaming, StreamingOverrides, Target, Upstream
from proxy.settings.clients import ApiKey, Auth, Cors, JwtIssuer, Tickets
from proxy.settings.model import Admin, ChatEndpoint, Circuit, Diagnostics, Drain, Limits, Log, Retry, Settings, Usage
from proxy.settings.problems import Problem, SettingsError
from proxy.settings.reader import json_schema, load
from proxy.settings.values import Address, ForwardProxy, Origin

__all__ = [
    "Address",
    "Admin",
    "ApiKey",
    "Auth",
    "ChatEndpoint",
    "Circuit",
    "Cors",
    "Diagnostics",
    "Drain",
    "ForwardProxy",
    "JwtIssuer",
    "Limits",
    "Log",
    "Model",
    "Origin",
    "Price",
    "Problem",
    "Retry",
    "Settings",
    "SettingsError",
    "Streaming",
    "StreamingOverrides",
    "Target",
    "Tickets",
    "Upstream",
    "Usage",
    "json_schema",
    "load",
]
