"""Workers that do nothing but speak with their supervisor, as processes of their own that start in no time."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from proxy.settings import Settings
from proxy.supervisor.supervisor import Supervisor
from tests.integration.asking import until
from tests.support.house import settings

# `counted` is what it has counted, `deaf` whether it obeys no stop but only a hurry.
SCRIPT = """
import json, os, socket, sys
channel = socket.socket(fileno=int(sys.argv[1])).makefile("rwb")
listener = socket.socket(fileno=int(sys.argv[2]))
reloads = 0
def send(*message):
    body = json.dumps(message).encode()
    channel.write(len(body).to_bytes(4, "big") + body)
    channel.flush()
def metrics():
    counted = {"llm_proxy_config_reloads_total": [[[], COUNTED]]}
    send(0, 0, "metrics", dict(counted=counted, present={}, folded={}, circuits={"a": 1}, lost={"log_lines": 1}))
while len(head := channel.read(4)) == 4:
    kind, number, word, facts = json.loads(channel.read(int.from_bytes(head, "big")))
    if word == "settings":
        listener.listen()
        metrics()
        send(0, 0, "ready", {})
    elif word == "hurry" or word == "stop" and not DEAF:
        sys.exit(0)
    elif word == "beat":
        send(0, 0, "beat", {})
    elif word == "measure":
        metrics()
        send(2, number, word, None)
    elif word == "/streams":
        send(2, number, word, [{"id": os.getpid()}])
    elif word == "reload":
        reloads += 1
        send(2, number, word, None)
    elif word == "end":
        send(2, number, word, reloads + 1)
    elif word == "departure":
        send(2, number, word, {"state": "left"} if facts["worker"] == os.getpid() else None)
    elif word == "recall":
        send(0, 0, "returned", {"subject": facts["subject"], "count": 1})
        send(2, number, word, None)
"""


@asynccontextmanager
async def staffed(
    *, load: Callable[[], Settings] = settings, script: str = SCRIPT, counted: int = 3, deaf: bool = False, **changes: Any
) -> AsyncIterator[Supervisor]:
    """Run a supervisor whose workers are *script*; when it begins, all of them are ready."""
    script = script.replace("COUNTED", str(counted)).replace("DEAF", str(deaf))
    supervisor = Supervisor(
        settings(**{"workers": 2, "drain": {"deadline": "1s"}, **changes}), load, command=(sys.executable, "-c", script)
    )
    try:
        assert await supervisor.start() is (script != "")
        yield supervisor
    finally:
        await supervisor.close()


async def replaced(supervisor: Supervisor, number: int, pid: int) -> None:
    """Wait until another process than *pid* is ready at that place."""

    async def seen() -> bool:
        worker = supervisor.workers.get(number)
        return worker is not None and worker.ready and worker.pid != pid

    await until(seen, f"another worker {number}", within=20)
