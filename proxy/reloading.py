"""Reads the configuration again while the proxy runs: what is good is put in force, what is not changes nothing and is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.metrics import Metrics
from proxy.process import url
from proxy.settings import Address, Settings, SettingsError

AT_START: Final = (
    "listen",
    "admin",
    "workers",
    "log",
    "usage",
)  # sections that are looked at when a process starts, and never again

log = logging.getLogger("proxy.reloading")


class Reloading:
    """One reload at a time, none without *load*. *put_in_force* gets only what may be served on the address listened on."""

    def __init__(
        self, load: Callable[[], Settings] | None, metrics: Metrics, put_in_force: Callable[[Settings], Awaitable[None]]
    ) -> None:
        self.load = load
        self._metrics = metrics
        self._put_in_force = put_in_force
        self._one_at_a_time = asyncio.Lock()

    async def reload(self, now: Settings, listening: Address) -> bool:
        """Read again and tell whether the new configuration is in force; *now* is what was, *listening* the bound address."""
        if self.load is None:
            return False
        async with self._one_at_a_time:
            try:
                settings = await asyncio.to_thread(self.load)
            except SettingsError as exc:
                return self._refused([str(each) for each in exc.problems])
            if settings.exposed_at(listening):  # the file may name another address, but this is the one that is listened on
                where = url(listening.host, listening.port)
                return self._refused([f"auth: it has no credentials, and {where} can be reached from elsewhere"])
            if waiting := _waiting_for_restart(now, settings):
                log.warning("some of what has changed takes effect after a restart only", extra={"settings": waiting})
            await self._put_in_force(settings)
            self._metrics.config_reloaded(success=True)
            log.info("configuration reloaded", extra={"source": settings.source})
            return True

    def _refused(self, problems: list[str]) -> bool:
        self._metrics.config_reloaded(success=False)
        log.error("configuration not reloaded, the old one stays in force", extra={"problems": problems})
        return False


def _waiting_for_restart(now: Settings, then: Settings) -> list[str]:
    """Return what differs between two configurations and is not put in force by a reload."""
    waiting = [section for section in AT_START if getattr(now, section) != getattr(then, section)]
    if now.limits.keepalive_timeout != then.limits.keepalive_timeout:
        waiting.append("limits.keepalive_timeout")
    return waiting
