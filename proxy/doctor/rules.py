"""What to change where: one concrete setting for each product and each way in which it spoils a stream.

`docs/platforms.md` says the same to a reader; a test holds every `setting` to the row of its product there.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


class Symptom(enum.Enum):
    """What is wrong on a path."""

    HELD = "holds bytes back"
    ENCODED = "compresses the stream, and holds it back while it does"
    LATE = "keeps bytes back for a moment"
    SILENCE = "ends connections that are silent"
    TOTAL = "ends answers that take long"
    BODY = "refuses large request bodies"
    HEADERS = "refuses long headers"
    DEPARTURE = "does not tell that a client has left"
    OLD_HTTP = "speaks HTTP/1.0 to the proxy, so a stream that was cut looks complete"


@dataclass(frozen=True, slots=True)
class Rule:
    """One mend. `setting` is the part of `fix` that stands in the docs too."""

    product: str
    symptom: Symptom
    fix: str
    setting: str


@dataclass(frozen=True, slots=True)
class Fix:
    """What is to be changed, and in which product; an empty name: nobody knows which."""

    product: str
    symptom: Symptom
    text: str


RULES: Final = (
    Rule(
        "nginx",
        Symptom.HELD,
        "set `proxy_buffering off;` for the stream, or take X-Accel-Buffering out of `proxy_ignore_headers`",
        "proxy_buffering off",
    ),
    Rule("nginx", Symptom.ENCODED, "set `gzip off;` and `proxy_buffering off;` in the location of the stream", "proxy_buffering off"),
    Rule("nginx", Symptom.SILENCE, "set `proxy_read_timeout 75s;`, above three keepalives", "75 s"),
    Rule("nginx", Symptom.BODY, "set `client_max_body_size 32m;`", "client_max_body_size 32m"),
    Rule("nginx", Symptom.HEADERS, "set `large_client_header_buffers 4 16k;`", "large_client_header_buffers 4 16k"),
    Rule(
        "nginx",
        Symptom.OLD_HTTP,
        'set `proxy_http_version 1.1;` and `proxy_set_header Connection "";` in the location of the stream',
        "HTTP/1.1",
    ),
    Rule("Caddy", Symptom.ENCODED, "take `encode` off the route of the stream: up to 2.8 a whole stream waits in it", "encode"),
    Rule("Caddy", Symptom.HELD, "take `response_buffers` (and `encode`) off the route of the stream", "response_buffers"),
    Rule("Caddy", Symptom.DEPARTURE, "take `flush_interval -1` out of `reverse_proxy`", "flush_interval -1"),
    Rule("Caddy", Symptom.BODY, "raise `request_body { max_size … }` to the proxy's limits.body, 32 MiB", "max_size"),
    Rule("Cloudflare", Symptom.SILENCE, "nothing there: keep streaming.keepalive_interval below 40 s", "120 s"),
    Rule("CloudFront", Symptom.ENCODED, "use a cache policy without compression for these paths", "compress"),
    Rule("CloudFront", Symptom.SILENCE, "keep streaming.keepalive_interval below 10 s, or raise the origin response timeout", "30 s"),
    Rule("CloudFront", Symptom.TOTAL, "set no response completion timeout, or one above the longest stream", "response completion timeout"),
    Rule("AWS API Gateway", Symptom.HELD, "set the response transfer mode of the integration to `STREAM`", "STREAM"),
    Rule("AWS API Gateway", Symptom.TOTAL, "set the response transfer mode to `STREAM`: 29 s become 15 minutes", "STREAM"),
    Rule("AWS Application LB", Symptom.SILENCE, "keep streaming.keepalive_interval below `idle_timeout.timeout_seconds`", "idle_timeout"),
    Rule(
        "Google Cloud external Application LB",
        Symptom.TOTAL,
        "raise the whole time for an answer: `gcloud compute backend-services update NAME --timeout=7200`",
        "--timeout=7200",
    ),
    Rule("Google Cloud Run", Symptom.TOTAL, "`gcloud run services update NAME --timeout=3600`", "--timeout=3600"),
    Rule("Azure Application Gateway", Symptom.HELD, "switch response buffering off in its configuration", "response buffering off"),
    Rule("Azure Application Gateway", Symptom.SILENCE, "set the backend's request timeout to 75 s", "request timeout 75 s"),
    Rule("Heroku", Symptom.SILENCE, "keep streaming.keepalive_interval below 55 s and commit_after below 30 s", "55 s"),
    Rule("Fly.io", Symptom.SILENCE, "keep streaming.keepalive_interval below 60 s", "60 s"),
    Rule("Fastly", Symptom.SILENCE, "raise `between_bytes_timeout` to 60 s, or set streaming.keepalive_interval to 3s", "between_bytes_timeout"),
    Rule("Envoy", Symptom.TOTAL, "set `timeout: 0s` on the route", "timeout: 0s"),
    Rule("Envoy", Symptom.SILENCE, "raise `stream_idle_timeout`, 5 minutes by default", "stream_idle_timeout"),
    Rule("Kong", Symptom.SILENCE, "raise the service's `read_timeout`, 60 s by default", "read_timeout"),
    Rule("Vercel", Symptom.TOTAL, "raise `maxDuration`", "maxDuration"),
    Rule("Vercel", Symptom.BODY, "nothing: bodies above 4.5 MB have to go another way", "4.5 MB"),
)  # fmt: skip

ANY: Final = {
    Symptom.HELD: "look there for response buffering on this route, and switch it off",
    Symptom.ENCODED: "switch compression off on this route there",
    Symptom.LATE: "if it is HAProxy, set `option http-no-delay`; else look there for what waits for more bytes",
    Symptom.SILENCE: "keep streaming.keepalive_interval at a third of that limit, or raise the limit there",
    Symptom.TOTAL: "raise there the time that a whole answer may take; keepalives do not help",
    Symptom.BODY: "raise there the size that a request body may have, to the proxy's limits.body",
    Symptom.HEADERS: "raise there the size that a header may have, to 16 KiB",
    Symptom.DEPARTURE: "leave keepalives on: they are the bytes at which it notices",
    Symptom.OLD_HTTP: "let it speak HTTP/1.1 to the proxy",
}


def fix(symptom: Symptom, products: Iterable[str]) -> Fix:
    """Return the mend for the first of *products* that has one, else what helps whoever it is."""
    for product in products:
        for rule in RULES:
            if (rule.product, rule.symptom) == (product, symptom):
                return Fix(product, symptom, rule.fix)
    return Fix("", symptom, ANY[symptom])
