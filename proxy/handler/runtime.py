"""Everything that follows from one reading of the settings. A reload builds another one and swaps it in between requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.auth import Authenticator, Tickets
from proxy.chat import endpoints, translators
from proxy.dialects import CHAT, ENDPOINTS
from proxy.dialects.base import Dialect
from proxy.handler.call import Bodies
from proxy.handler.cors import Cors
from proxy.handler.courses import Courses
from proxy.handler.plans import Plans
from proxy.handler.surface import Surface
from proxy.headers import TrustedProxies
from proxy.health import Health
from proxy.providers import PROVIDERS
from proxy.retry import Policy
from proxy.router import Router
from proxy.settings import Origin, Settings
from proxy.translate import Translators
from proxy.upstream import Backend, Network, Rules


@dataclass(slots=True)
class Uses:
    """How many requests are served under one configuration, and what to set when the last one of them has ended."""

    count: int = 0
    over: asyncio.Event | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Runtime:
    """The parts that serve requests under one configuration."""

    settings: Settings
    authenticator: Authenticator
    router: Router
    policy: Policy
    health: Health
    backends: Mapping[str, Backend]
    bodies: Bodies
    cors: Cors
    trusted: TrustedProxies
    plans: Plans
    courses: Courses
    surface: Surface
    translators: Translators
    fallback_dialect: Dialect = CHAT  # the words of an error where no dialect is known yet
    uses: Uses = field(default_factory=Uses)

    async def start(self) -> None:
        """Begin what loads in the background."""
        for backend in self.backends.values():
            backend.start()
        await self.authenticator.start()

    async def close(self) -> None:
        """Close connections and background work; nothing may be in flight any more."""
        for backend in self.backends.values():
            await backend.close()
        await self.authenticator.close()

    def sweep(self, now: float) -> None:
        """Close idle connections that are too old, and renew credentials that soon will be."""
        for backend in self.backends.values():
            backend.sweep(now)


def build(settings: Settings, simulators: Mapping[str, str], network: Network, tickets: Tickets) -> Runtime:
    """Build the parts from *settings*; *simulators* are the addresses of the running ones, by upstream name.

    *tickets* were given out under an earlier configuration, too.
    """
    auth, origins = settings.auth, settings.cors.origins
    rules = Rules(settings.retry, auth.cookie)
    backends = {}
    for name, config in settings.upstreams.items():
        origin = Origin.parse(simulators[name] + "/v1") if config.kind == "simulator" else config.origin
        provider = PROVIDERS[config.kind](config, b"" if origin is None else origin.path.encode())
        backends[name] = Backend(name, config, origin, provider, rules=rules, network=network)
    router, plans = Router(settings.models, settings.streaming_for), Plans(settings)
    pairs = Translators(translators(settings.chat_endpoints))
    return Runtime(
        settings=settings,
        authenticator=Authenticator(
            auth,
            anonymous=settings.anonymous_allowed,
            default_max_streams=settings.limits.streams_per_subject,
            origins=origins,
            tickets=tickets,
        ),
        router=router,
        policy=Policy(settings.retry),
        health=Health(settings.upstreams, settings.circuit),
        backends=backends,
        bodies=Bodies(settings.limits.bodies),
        cors=Cors(origins, settings.cors.max_age, cookies=auth.cookie is not None),
        trusted=TrustedProxies(settings.trusted_proxies),
        plans=plans,
        courses=Courses(router, plans, backends, pairs),
        surface=Surface((*ENDPOINTS, *endpoints(settings.chat_endpoints))),
        translators=pairs,
    )


class Current:
    """The runtime in force, and the old ones that are still in use."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._old: set[Runtime] = set()

    @property
    def all(self) -> tuple[Runtime, ...]:
        """The runtime in force, then those that are still in use."""
        return (self.runtime, *self._old)

    def enter(self) -> Runtime:
        """Return the runtime in force, for one request; it stays usable until `leave`."""
        runtime = self.runtime
        runtime.uses.count += 1
        return runtime

    def leave(self, runtime: Runtime) -> None:
        """Give *runtime* back at the end of the request."""
        uses = runtime.uses
        uses.count -= 1
        if not uses.count and uses.over is not None:
            uses.over.set()

    async def swap(self, runtime: Runtime) -> None:
        """Put *runtime* in force, then wait until nobody uses the old one and close it."""
        old, self.runtime = self.runtime, runtime
        self._old.add(old)
        if old.uses.count:
            old.uses.over = asyncio.Event()
            await old.uses.over.wait()
        await old.close()
        self._old.remove(old)

    def sweep(self, now: float) -> None:
        """Do what is due by the clock, also for requests that go on under an older configuration. Called by the ticker."""
        for runtime in self.all:
            runtime.sweep(now)

    async def close(self) -> None:
        """Close all of them; nothing may be in flight any more."""
        for runtime in self.all:
            await runtime.close()
