"""Can an EventSource whose connection was lost take up the stream where it was?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.doctor.listening import Patience
from proxy.doctor.probes.base import Desk, Finding

_SOON: Final = Patience(silence=15.0, whole=15.0)
_COUNT: Final = 3


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Comes back as a browser does, with the id of the last event it has."""

    name: str = "reconnect"

    @property
    def seconds(self) -> float:
        return 0.5

    async def run(self, desk: Desk) -> Finding:
        query = {"count": _COUNT, "interval": 0.1}
        back = await desk.stream(desk.ask(query, Last_Event_ID="1"), _SOON)
        if back.told.get("n") != 2:
            said = "the stream begins anew: Last-Event-ID does not reach the proxy"
            return Finding(probe=self.name, ok=False, said=said)
        async with desk.wire.open(desk.ask(query, Last_Event_ID=str(_COUNT)), within=_SOON.head) as answer:
            status = answer.status
        if status != 204:
            return Finding(
                probe=self.name,
                ok=False,
                said=f"a stream that is over answers {status}, not 204: an EventSource would ask for ever",
            )
        return Finding(
            probe=self.name, ok=True, said="the stream goes on behind the last event, and an EventSource that has all of it stops"
        )
