"""Which probes the command line asks for, in the order in which they run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.doctor.probes.base import Probe
from proxy.doctor.probes.compression import Compression
from proxy.doctor.probes.disconnect import Disconnect
from proxy.doctor.probes.idle import Idle
from proxy.doctor.probes.reconnect import Reconnect
from proxy.doctor.probes.requests import Bodies, Headers, Post
from proxy.doctor.probes.skew import Clock
from proxy.doctor.probes.websocket import WebSocket

_PLAIN: Final[Mapping[str, Callable[[], Probe]]] = {
    "post": Post,
    "compression": Compression,
    "disconnect": Disconnect,
    "reconnect": Reconnect,
    "websocket": WebSocket,
}
_LISTED: Final[Mapping[str, Callable[[Any], Probe]]] = {"headers": Headers, "bodies": Bodies, "idle": Idle}


def chosen(arguments: argparse.Namespace, token: str, defaults: Mapping[str, tuple[float, ...]]) -> list[Probe]:
    """Return the probes that *arguments* ask for; those with a list of numbers have *defaults*. *token* is the credential."""
    everything = arguments.all
    probes = [make() for name, make in _PLAIN.items() if everything or getattr(arguments, name)]
    if everything or arguments.clock:
        probes.append(Clock(token))
    for name, make in _LISTED.items():
        numbers = getattr(arguments, name) or (defaults[name] if everything else None)
        if numbers is not None:
            probes.append(make(numbers))
    return probes
