"""Is a request to switch to the WebSocket protocol, which the proxy does not speak, answered and not left hanging?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.doctor.probes.base import Desk, Finding
from proxy.doctor.wire import Unreachable

WITHIN: Final = 10.0
_SWITCH: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",  # the example of RFC 6455 1.3; nobody checks it
}


@dataclass(frozen=True, slots=True)
class WebSocket:
    """Asks to switch."""

    within: float = WITHIN
    name: str = "websocket"

    @property
    def seconds(self) -> float:
        return 0.2

    async def run(self, desk: Desk) -> Finding:
        try:
            async with desk.wire.open(desk.ask({"count": 1}, **_SWITCH), within=self.within) as answer:
                status = answer.status
        except Unreachable as exc:
            return Finding(probe=self.name, ok=False, said=f"a request to switch to WebSocket is not answered: {exc}")
        if status == 101:
            return Finding(
                probe=self.name, ok=False, said="something on the way switches to WebSocket, which the proxy does not speak"
            )
        return Finding(
            probe=self.name,
            ok=True,
            said=f"declined cleanly, with an ordinary answer (status {status})",
            facts={"status": status},
        )
