"""Contradictions between sections of a configuration.

It reads the raw values, so that they can be reported together with mistakes inside the sections; what is malformed is
passed over here, because the section's own check names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from proxy.globs import Glob
from proxy.settings.values import Address, Origin, flag, is_loopback

Loc = tuple[str | int, ...]
Finding = tuple[Loc, str]
T = TypeVar("T")

# Lists whose entries are told apart by a key.
_UNIQUE: Final = (
    (("models",), "name"),
    (("auth", "jwt"), "issuer"),
    (("auth", "api_keys"), "id"),
    (("auth", "api_keys"), "sha256"),
    (("chat_endpoints",), "path"),
)
_OPEN: Final = (
    "everybody who reaches this address could use the upstreams' keys: configure auth.api_keys or auth.jwt, "
    "listen on 127.0.0.1, or set auth.allow_anonymous: true"
)
_ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def contradictions(data: object) -> Iterator[Finding]:
    """Yield the place and the message of everything in *data* that cannot be true at once."""
    root = _mapping(data)
    for check in (_duplicates, _unknown_targets, _unserved_endpoints, _open_door, _loops):
        yield from check(root)


def _duplicates(root: Mapping[str, Any]) -> Iterator[Finding]:
    for section, key in _UNIQUE:
        seen: set[str] = set()
        for index, entry in enumerate(_items(_at(root, section))):
            value = _mapping(entry).get(key)
            if not isinstance(value, str):
                continue
            value = value.lower() if key == "sha256" else value
            if value in seen:
                yield (*section, index, key), f"another entry of {'.'.join(section)} has the same {key}"
            seen.add(value)


def _unknown_targets(root: Mapping[str, Any]) -> Iterator[Finding]:
    names = list(_mapping(root.get("upstreams")))
    for index, model in enumerate(_items(root.get("models"))):
        for position, target in enumerate(_items(_mapping(model).get("targets"))):
            name = _mapping(target).get("upstream")
            if isinstance(name, str) and name not in names:
                yield ("models", index, "targets", position, "upstream"), f"there is no such upstream; {_known(name, names)}"


def _unserved_endpoints(root: Mapping[str, Any]) -> Iterator[Finding]:
    patterns = [_mapping(model).get("name") for model in _items(root.get("models"))]
    names = [pattern for pattern in patterns if isinstance(pattern, str)]
    for index, endpoint in enumerate(_items(root.get("chat_endpoints"))):
        model = _mapping(endpoint).get("model")
        if isinstance(model, str) and not any(Glob(name).matches(model) for name in names):
            yield ("chat_endpoints", index, "model"), f"no entry of models serves it; {_known(model, names)}"


def _open_door(root: Mapping[str, Any]) -> Iterator[Finding]:
    listen = _parsed(Address.parse, root.get("listen"))
    auth = _mapping(root.get("auth"))
    if listen is None or listen.is_loopback or _items(auth.get("jwt")) or _items(auth.get("api_keys")):
        return
    if auth.get("allow_anonymous") is not True and not _parsed(flag, auth.get("allow_anonymous")):
        yield ("listen",), _OPEN


def _loops(root: Mapping[str, Any]) -> Iterator[Finding]:
    listen = _parsed(Address.parse, root.get("listen", "127.0.0.1:8080"))
    for name, upstream in _mapping(root.get("upstreams")).items():
        origin = _parsed(Origin.parse, _mapping(upstream).get("base_url"))
        if listen is not None and origin is not None and _is_reached_by(listen, origin):
            yield ("upstreams", name, "base_url"), "this is the proxy's own address: each request would come back to it"


def _is_reached_by(listen: Address, origin: Origin) -> bool:
    hosts = {listen.host, origin.host}
    if origin.port != listen.port or not is_loopback(origin.host):
        return hosts == {listen.host} and origin.port == listen.port
    return len(hosts) == 1 or listen.host in _ANYWHERE or ("localhost" in hosts and listen.is_loopback)


def _known(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"there are: {', '.join(names)}" if names else "none is configured"


def _parsed(parse: Callable[[str], T], value: object) -> T | None:
    if not isinstance(value, str):
        return None
    try:
        return parse(value)
    except ValueError:
        return None


def _at(root: Mapping[str, Any], section: Sequence[str]) -> object:
    value: object = root
    for key in section:
        value = _mapping(value).get(key)
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
