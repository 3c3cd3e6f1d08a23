"""Lets `LLM_PROXY_<SECTION>__<KEY>` and the command line set single values over those of the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from proxy.settings.consistency import Loc
from proxy.settings.document import Document
from proxy.settings.problems import Problem
from proxy.settings.shape import scalars

PREFIX: Final = "LLM_PROXY_"
HEARTBEAT: Final = "OPENAI_SSE_HEARTBEAT_MS"
CONFIG: Final = "LLM_PROXY_CONFIG"
API_KEYS: Final = "LLM_PROXY_API_KEYS"
JWT_SECRET: Final = "LLM_PROXY_JWT_SECRET"  # noqa: S105 - a variable's name
CLIENT_KEY: Final = "LLM_PROXY_KEY"  # the client's own, in the banner's curl line; often set in the same shell

_OTHERS: Final = (CONFIG, API_KEYS, JWT_SECRET, CLIENT_KEY)
_TESTS: Final = "LLM_PROXY_TESTS_"
_KEEPALIVE: Final[Loc] = ("streaming", "keepalive_interval")
# Kubernetes announces a service named llm-proxy to each pod of its namespace in this form.
_SERVICE: Final = re.compile(r"LLM_PROXY_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
_SERVICE_PORT: Final = re.compile(r"(tcp|udp|sctp)://.*")


def apply_environment(document: Document, environ: Mapping[str, str]) -> None:
    """Set what the environment overrides; an empty variable counts as not set, an unknown one is a problem."""
    known = {variable(path): (path, several) for path, several in scalars(document.data)}
    _heartbeat(document, environ.get(HEARTBEAT, ""))
    for name in sorted(environ):
        value = environ[name]
        if not name.startswith(PREFIX) or name in _OTHERS or name.startswith(_TESTS) or _announced(name, value):
            continue
        if name not in known:
            document.strays.append(Problem(f"environment variable {name}", "", _unknown(name, (*known, *_OTHERS))))
        elif value:
            path, several = known[name]
            document.put(path, _value(value, several=several), f"environment variable {name}")


def apply_options(document: Document, options: Mapping[str, str]) -> None:
    """Set what the command line overrides: top-level keys by their names."""
    for name, value in options.items():
        document.put((name,), value, f"option --{name}")


def variable(path: Loc) -> str:
    """Return the name of the environment variable that overrides the value at *path*."""
    return PREFIX + "__".join(re.sub(r"[^A-Z0-9]", "_", str(key).upper()) for key in path)


def _value(text: str, *, several: bool) -> str | list[str] | None:
    """Read an override the way the file would be read: `null` is the default, commas separate the entries of a list."""
    if text in {"null", "~"}:
        return None
    return [part for part in map(str.strip, text.split(",")) if part] if several else text


def _heartbeat(document: Document, value: str) -> None:
    if not value:
        return
    document.put(_KEEPALIVE, f"{value}ms", f"environment variable {HEARTBEAT}")
    if not value.isdecimal() or int(value) == 0:
        document.breaks(
            _KEEPALIVE,
            "expected milliseconds as a whole number above 0; to switch keepalives off set streaming.keepalive_style to off",
        )


def _announced(name: str, value: str) -> bool:
    """Tell whether Kubernetes set this variable; LLM_PROXY_PORT only when it looks so, because people try it too."""
    return bool(_SERVICE.fullmatch(name)) and (name != "LLM_PROXY_PORT" or bool(_SERVICE_PORT.fullmatch(value)))


def _unknown(name: str, known: tuple[str, ...]) -> str:
    bare = {each.removeprefix(PREFIX): each for each in known}
    near = ["LISTEN"] if name == "LLM_PROXY_PORT" else get_close_matches(name.removeprefix(PREFIX).upper(), bare, 1)
    hint = f"did you mean {bare[near[0]]}?" if near else "names are LLM_PROXY_<SECTION>__<KEY>, as in LLM_PROXY_ADMIN__LISTEN"
    return f"there is no such setting; {hint}"
