"""Reads in a response's headers who stands on the path, and which of the proxy's headers have survived it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Headers = Mapping[str, str]  # by lower-case name

OURS: Final = "llm-stream-proxy"
EVENTS: Final = "text/event-stream"
LINES: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
EXPECTED: Final = {  # each with parts of which one must be there
    "content-type": (EVENTS, *LINES),
    "cache-control": ("no-transform",),
    "x-accel-buffering": ("no",),
    "x-request-id": ("",),
}
CONSUMED: Final = {"nginx": frozenset({"x-accel-buffering"})}  # a product that acts on a header and does not pass it on
SHOWN: Final = (
    "server", "via", "cf-ray", "cf-cache-status", "x-amz-cf-id", "x-amz-apigw-id", "x-amzn-requestid", "x-amzn-trace-id",
    "x-azure-ref", "x-served-by", "x-cache", "x-vercel-id", "fly-request-id", "x-envoy-upstream-service-time", "x-kong-proxy-latency",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sign:
    """A header, and what its value looks like, by which a product gives itself away."""

    product: str
    header: str
    value: str = ""


SIGNS: Final = (
    Sign("nginx", "server", r"nginx|openresty"),
    Sign("Caddy", "server", r"caddy"),
    Sign("Caddy", "via", r"caddy"),
    Sign("Cloudflare", "cf-ray"),
    Sign("Cloudflare", "server", r"cloudflare"),
    Sign("CloudFront", "x-amz-cf-id"),
    Sign("CloudFront", "via", r"cloudfront"),
    Sign("AWS API Gateway", "x-amz-apigw-id"),
    Sign("AWS Application LB", "server", r"awselb"),
    Sign("AWS Application LB", "x-amzn-trace-id"),
    Sign("Google Cloud Run", "server", r"google frontend"),
    Sign("Google Cloud external Application LB", "via", r"\bgoogle\b"),
    Sign("Azure Application Gateway", "server", r"microsoft-azure-application-gateway"),
    Sign("Heroku", "server", r"heroku"),
    Sign("Heroku", "via", r"heroku|vegur"),
    Sign("Fly.io", "fly-request-id"),
    Sign("Fly.io", "server", r"^fly/"),
    Sign("Fastly", "x-fastly-request-id"),
    Sign("Fastly", "x-served-by", r"^cache-"),
    Sign("Kong", "via", r"kong"),
    Sign("Kong", "x-kong-proxy-latency"),
    Sign("Envoy", "server", r"envoy"),
    Sign("Envoy", "x-envoy-upstream-service-time"),
    Sign("Vercel", "x-vercel-id"),
)


def media_type(headers: Headers) -> str:
    """Return the content type without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def products(headers: Headers) -> list[str]:
    """Return who has left a sign, each once, in the order of `SIGNS`."""
    found = (
        sign.product
        for sign in SIGNS
        if (value := headers.get(sign.header)) is not None and re.search(sign.value, value, re.IGNORECASE)
    )
    return list(dict.fromkeys(found))


def shown(headers: Headers) -> dict[str, str]:
    """Return the headers that say who stands on the path."""
    return {name: headers[name] for name in SHOWN if name in headers}


def kept(headers: Headers) -> list[str]:
    """Return the names of the proxy's headers that arrived as they were sent."""
    return [name for name, parts in EXPECTED.items() if name in headers and any(part in headers[name] for part in parts)]


def lost(headers: Headers) -> list[str]:
    """Return the names of those that did not, although nobody on the path is meant to take them away."""
    eaten = frozenset[str]().union(*(CONSUMED.get(product, frozenset()) for product in products(headers)))
    arrived = kept(headers)
    return [name for name in EXPECTED if name not in eaten and name not in arrived]
