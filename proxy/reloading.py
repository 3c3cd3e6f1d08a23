"""Reads the configuration again while the proxy runs: what is good is put in force, what is not changes nothing and is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from proxy.metrics import Metrics
from proxy.process import url
from proxy.settings import Address, Settings, SettingsError

log = logging.getLogger("proxy.reloading")

_FROM_THE_START: Final[Mapping[str, Callable[[Settings], object]]] = {
    "listen": lambda settings: settings.listen,
    "admin.listen": lambda settings: settings.admin.listen,
    "workers": lambda settings: settings.workers,
    "limits.keepalive_timeout": lambda settings: settings.limits.keepalive_timeout,
    "usage": lambda settings: settings.usage,
    "log": lambda settings: settings.log,
}


class Reloading:
    """One reload at a time, none without *load*. *put_in_force* gets only what may be served on the address listened on."""

    def __init__(
        self, load: Callable[[], Settings] | None, metrics: Metrics, put_in_force: Callable[[Settings], Awaitable[None]]
    ) -> None:
        self.load = load
        self._metrics = metrics
        self._put_in_force = put_in_force
        self._one_at_a_time = asyncio.Lock()
        self._started_with: Settings | None = None

    async def reload(self, now: Settings, listening: Address) -> bool:
        """Read again and tell whether the new configuration is in force; *now* is what was, *listening* the bound address."""
        if self.load is None:
            return False
        async with self._one_at_a_time:
            self._started_with = self._started_with or now
            try:
                settings = await asyncio.to_thread(self.load)
            except SettingsError as exc:
                return self._refused([str(each) for each in exc.problems])
            if settings.exposed_at(listening):  # the file may name another address, but this is the one that is listened on
                where = url(listening.host, listening.port)
                return self._refused([f"auth: it has no credentials, and {where} can be reached from elsewhere"])
            waiting = [key for key, value in _FROM_THE_START.items() if value(settings) != value(self._started_with)]
            if waiting:
                log.warning("part of the configuration takes effect after a restart only", extra={"keys": waiting})
            await self._put_in_force(settings)
            self._metrics.config_reloaded(success=True)
            log.info("configuration reloaded", extra={"source": settings.source})
            return True

    def _refused(self, problems: list[str]) -> bool:
        self._metrics.config_reloaded(success=False)
        log.error("configuration not reloaded, the old one stays in force", extra={"problems": problems})
        return False
