"""Who stands on the path, and what it has left of the headers."""

from __future__ import annotations

import pytest

from proxy.doctor.fingerprints import kept, lost, products, shown
from tests.unit.doctor.sights import OURS, through


@pytest.mark.parametrize(
    ("name", "value", "product"),
    [
        ("server", "nginx/1.22.1", "nginx"),
        ("server", "openresty", "nginx"),
        ("server", "Caddy, llm-stream-proxy", "Caddy"),
        ("via", "1.1 Caddy", "Caddy"),
        ("cf-ray", "8c1-FRA", "Cloudflare"),
        ("via", "1.1 abc.cloudfront.net (CloudFront)", "CloudFront"),
        ("x-amz-apigw-id", "x", "AWS API Gateway"),
        ("server", "awselb/2.0", "AWS Application LB"),
        ("via", "1.1 google", "Google Cloud external Application LB"),
        ("server", "Google Frontend", "Google Cloud Run"),
        ("via", "1.1 vegur", "Heroku"),
        ("x-served-by", "cache-fra-1", "Fastly"),
        ("server", "istio-envoy", "Envoy"),
        ("via", "kong/3.4", "Kong"),
        ("x-vercel-id", "fra1::x", "Vercel"),
        ("server", "Fly/abc", "Fly.io"),
    ],
)
def test_product_is_known_by_its_sign(name: str, value: str, product: str) -> None:
    assert products({name: value}) == [product]


def test_two_signs_of_one_product_are_one_product() -> None:
    assert products({"server": "cloudflare", "cf-ray": "x", "via": "1.1 google"}) == [
        "Cloudflare", "Google Cloud external Application LB",
    ]  # fmt: skip


def test_proxy_alone_is_no_product() -> None:
    assert products(OURS) == []


def test_signs_are_shown_in_one_order() -> None:
    assert list(shown({"cf-ray": "x", "etag": "y", "server": "z"})) == ["server", "cf-ray"]


def test_header_that_was_dropped_or_changed_is_lost() -> None:
    assert lost(OURS) == []
    assert kept(OURS) == ["content-type", "cache-control", "x-accel-buffering", "x-request-id"]
    assert lost({**OURS, "content-type": "application/x-ndjson"}) == []
    assert lost({**OURS, "content-type": "text/html"}) == ["content-type"]
    assert lost({**OURS, "cache-control": "no-cache"}) == ["cache-control"]
    assert lost({name: value for name, value in OURS.items() if name not in ("x-request-id", "x-accel-buffering")}) == [
        "x-accel-buffering", "x-request-id",
    ]  # fmt: skip


def test_header_that_is_meant_for_nginx_is_not_lost_in_it() -> None:
    headers = {name: value for name, value in through("nginx/1.22.1").items() if name != "x-accel-buffering"}

    assert lost(headers) == []
    assert "x-accel-buffering" not in kept(headers)
