"""Starts without a file: upstreams, models and clients from the variables that everybody's SDK already uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.settings.consistency import Loc
from proxy.settings.document import Document
from proxy.settings.overrides import API_KEYS, JWT_SECRET
from proxy.settings.problems import Problem

SIMULATOR: Final = "demo"
JWT_NAME: Final = "llm-proxy"  # issuer and audience of tokens signed with LLM_PROXY_JWT_SECRET


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A kind of backend that is there when its key is."""

    name: str
    kind: str
    key: str
    url: str = ""  # the variable with its base URL
    base_url: str = ""


_KEYED: Final = (
    _Keyed("openai", "openai", "OPENAI_API_KEY", url="OPENAI_BASE_URL"),
    _Keyed("anthropic", "anthropic", "ANTHROPIC_API_KEY", url="ANTHROPIC_BASE_URL"),
    _Keyed("openrouter", "openai", "OPENROUTER_API_KEY", base_url="https://openrouter.ai/api/v1"),
    _Keyed("gemini", "gemini", "GEMINI_API_KEY"),
    _Keyed("azure", "azure", "AZURE_OPENAI_API_KEY", url="AZURE_OPENAI_ENDPOINT"),
)
_API_VERSIONS: Final = ("OPENAI_API_VERSION", "AZURE_OPENAI_API_VERSION")
_AWS_CREDENTIALS: Final = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("AWS_BEARER_TOKEN_BEDROCK",),
    ("AWS_PROFILE",),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
)
# Bedrock's ids begin with the vendor, or with the region group of an inference profile, or are ARNs.
_BEDROCK_NAMES: Final = (
    "anthropic.*", "amazon.*", "ai21.*", "cohere.*", "deepseek.*", "meta.*", "mistral.*", "openai.*", "qwen.*",
    "us.*", "eu.*", "apac.*", "global.*", "arn:aws*:bedrock:*",
)  # fmt: skip


def add_upstreams(document: Document, environ: Mapping[str, str]) -> None:
    """Add the upstreams whose keys are in *environ*, and the models that lead to them; with none the simulator."""
    for each in _KEYED:
        _add_keyed(document, each, environ)
    _add_bedrock(document, environ)
    if not document.data.get("upstreams"):
        document.put(("upstreams", SIMULATOR, "kind"), "simulator", document.source)
    document.put(("models",), _models(document.data["upstreams"]), document.source)


def add_clients(document: Document, environ: Mapping[str, str]) -> None:
    """Add the clients that the environment names, where the document itself says nothing of their kind."""
    auth = document.data.get("auth")
    present = auth if isinstance(auth, dict) else {}
    if environ.get(API_KEYS) and not present.get("api_keys"):
        _add_api_keys(document, environ[API_KEYS])
    if environ.get(JWT_SECRET) and not present.get("jwt"):
        issuer = {"issuer": JWT_NAME, "audience": JWT_NAME, "algorithms": ["HS256"], "secret": environ[JWT_SECRET]}
        document.put(("auth", "jwt"), [issuer], f"environment variable {JWT_SECRET}")


def _add_keyed(document: Document, each: _Keyed, environ: Mapping[str, str]) -> None:
    if not environ.get(each.key):
        return
    _put(document, each.name, each.kind, "kind", f"environment variable {each.key}")
    _put(document, each.name, environ[each.key], "api_key", f"environment variable {each.key}")
    url = environ.get(each.url) or each.base_url
    if url:
        _put(document, each.name, url, "base_url", f"environment variable {each.url or each.key}")
    elif each.kind == "azure":
        message = f"set {each.url} too, for example https://my-resource.openai.azure.com"
        document.broken["upstreams", each.name] = Problem(f"environment variable {each.key}", "", message)
    version = next((name for name in _API_VERSIONS if environ.get(name)), None)
    if version and each.kind == "azure":
        _put(document, each.name, environ[version], "api_version", f"environment variable {version}")


def _add_bedrock(document: Document, environ: Mapping[str, str]) -> None:
    if environ.get("AWS_REGION") and any(all(map(environ.get, names)) for names in _AWS_CREDENTIALS):
        _put(document, "bedrock", "bedrock", "kind", "environment variable AWS_REGION")
        _put(document, "bedrock", environ["AWS_REGION"], "region", "environment variable AWS_REGION")


def _put(document: Document, upstream: str, value: str, key: str, place: str) -> None:
    document.put(("upstreams", upstream, key), value, place)


def _models(upstreams: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the name rules, the narrow ones first; whatever no rule takes goes to OpenAI or what stands in for it."""
    rules = [("claude-*", "anthropic"), ("gemini-*", "gemini")]
    rules += [(name, "bedrock") for name in _BEDROCK_NAMES]
    rules.append(("*/*", "openrouter"))
    rest = next((name for name in ("openai", "azure", "bedrock", SIMULATOR) if name in upstreams), None)
    if rest is not None:
        rules.append(("*", rest))
    return [{"name": name, "targets": [{"upstream": upstream}]} for name, upstream in rules if upstream in upstreams]


def _add_api_keys(document: Document, text: str) -> None:
    place = f"environment variable {API_KEYS}"
    entries = [entry for entry in map(str.strip, text.split(",")) if entry]
    path: Loc = ("auth", "api_keys")
    document.put(path, [dict(zip(("id", "sha256"), entry.split(":", 1), strict=False)) for entry in entries], place)
    if not all(":" in entry for entry in entries):
        document.breaks(path, "expected id:sha256, several separated by commas; `llm-proxy key` makes such a pair")
