"""Writes what the operator sees at the start: what listens, what answers, who may ask, and one command to try it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from proxy import __version__
from proxy.globs import Glob, is_literal
from proxy.settings import Model, Origin, Settings, Upstream

_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to dial where every interface listens
_CHAT_KINDS: Final = frozenset({"openai", "azure", "simulator"})  # they speak chat completions themselves
_SAMPLES: Final = {
    "openai": ("gpt-4o-mini", "openai/gpt-4o-mini"),
    "azure": ("gpt-4o-mini",),
    "anthropic": ("claude-sonnet-4-5",),
    "gemini": ("gemini-2.5-flash",),
    "bedrock": ("amazon.nova-lite-v1:0",),
    "simulator": ("demo", "demo-ok"),
}


def banner(settings: Settings, *, listening: str, admin: str, simulated: Sequence[str]) -> str:
    """Return the text for the start. *listening* and *admin* are the bound addresses, *simulated* the simulator's upstreams."""
    lines = [f"llm-proxy {__version__}", "", *_row("settings", [settings.source])]
    lines += _row("listening", [_url(listening)])
    lines += _row("admin", [_url(admin)])
    lines += _row("upstreams", _upstreams(settings) or ["none is configured"])
    lines += _row("clients", [clients(settings)])
    if simulated:
        lines += _row("simulator", [_simulation(settings, simulated)])
    hint = "" if settings.anonymous_allowed else ", with LLM_PROXY_KEY set to one of the clients' keys or tokens"
    return "\n".join([*lines, "", f"Try it{hint}:", "", _command(settings, _url(listening)), ""])


def clients(settings: Settings) -> str:
    """Say in one line how clients authenticate."""
    auth = settings.auth
    if auth.allow_anonymous:
        return "anybody, without a credential (auth.allow_anonymous)"
    if not auth.configured:
        return "anybody on this machine (no credential is configured)"
    count = len(auth.api_keys)
    keys = [f"{count} API key{'s' if count > 1 else ''}"] if count else []
    tokens = [f"tokens of {', '.join(issuer.issuer for issuer in auth.jwt)}"] if auth.jwt else []
    return " and ".join(keys + tokens)


def credential(upstream: Upstream) -> str:
    """Say whether an upstream's key is there, never which."""
    if upstream.kind == "simulator":
        return "no key needed"
    if upstream.kind == "bedrock" and not upstream.api_key:
        return "AWS credentials"
    return "key present" if upstream.api_key else "key absent"


def _row(title: str, values: Sequence[str]) -> list[str]:
    return [f"  {title if position == 0 else '':<10} {value}" for position, value in enumerate(values)]


def _upstreams(settings: Settings) -> list[str]:
    width = max(map(len, settings.upstreams), default=0)
    return [f"{name:<{width}}  {each.kind:<9}  {credential(each)}" for name, each in settings.upstreams.items()]


def _simulation(settings: Settings, simulated: Sequence[str]) -> str:
    if set(settings.upstreams) <= set(simulated):
        return "answers everything with scripted text: no real upstream is configured (set OPENAI_API_KEY, for example)"
    return f"answers for {', '.join(simulated)} with scripted text"


def _url(address: str) -> str:
    return address if "://" in address else f"http://{address}"


def _command(settings: Settings, url: str) -> str:
    origin = Origin.parse(url)
    base = str(Origin(origin.scheme, _ANYWHERE.get(origin.host, origin.host), origin.port, origin.path))
    key = "" if settings.anonymous_allowed else ' -H "Authorization: Bearer $LLM_PROXY_KEY"'
    model = _example(settings)
    if model is None:
        return f"curl -N{key} {shlex.quote(f'{base}/test/stream?count=10&interval=1')}"
    message = {"role": "user", "content": "Tell me about reverse proxies"}
    body = json.dumps({"model": model, "stream": True, "messages": [message]}, ensure_ascii=False)
    return f'curl -N {base}/v1/chat/completions{key} -H "Content-Type: application/json" -d {shlex.quote(body)}'


def _example(settings: Settings) -> str | None:
    """Return a model name that is served, if there is one; the best chance of an answer first."""
    for model in sorted(settings.models, key=lambda model: _doubt(model, settings)):
        for name in _candidates(model, settings):
            if next((each for each in settings.models if Glob(each.name).matches(name)), None) is model:
                return name
    return None


def _doubt(model: Model, settings: Settings) -> int:
    """Rank a model: 0 where a ready upstream speaks chat itself, 1 where it has to be translated, 2 where no key is there."""
    ready = [each.kind for each in _served_by(model, settings) if credential(each) != "key absent"]
    return 0 if _CHAT_KINDS.intersection(ready) else 1 if ready else 2


def _candidates(model: Model, settings: Settings) -> Iterator[str]:
    if is_literal(model.name):
        yield model.name
        return
    pattern = Glob(model.name)
    for upstream in _served_by(model, settings):
        yield from filter(pattern.matches, _SAMPLES[upstream.kind])
    yield model.name.replace("*", "latest")


def _served_by(model: Model, settings: Settings) -> list[Upstream]:
    return [settings.upstreams[target.upstream] for target in model.targets]
