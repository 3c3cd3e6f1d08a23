"""Which pages may use a cookie or a ticket, by what only a browser can say."""

from __future__ import annotations

import pytest

from proxy.auth import RequestHead
from proxy.auth.browsers import from_own_page, is_page_of, may_use_cookie, told_origin
from proxy.headers import noted

APP = "https://app.example"
OWN = "https://api.example"
HOST = (b"Host", b"api.example")


def headers(origin: str | None = None, site: str | None = None) -> dict[bytes, tuple[bytes, ...]]:
    told = [HOST]
    if origin is not None:
        told.append((b"Origin", origin.encode()))
    if site is not None:
        told.append((b"Sec-Fetch-Site", site.encode()))
    return dict(noted(told))


def test_two_origins_are_nobodys() -> None:
    assert told_origin(noted([(b"Origin", APP.encode()), (b"Origin", APP.encode())])) != APP
    assert told_origin(noted([])) is None


def test_origin_that_no_host_could_have_is_cut() -> None:
    """A ticket keeps it."""
    told = told_origin(noted([(b"Origin", b"https://" + b"a" * 9000)]))

    assert told is not None
    assert len(told) == 512


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (OWN, True),
        ("http://api.example", True),  # the scheme that the browser sees may end before the proxy
        (APP, False),
        ("https://api.example:8443", False),
        ("https://api.example.evil", False),
        ("null", False),
        ("ftp://api.example", False),
        ("", False),
    ],
)
def test_without_more_the_own_page_is_that_of_the_host_that_is_asked(origin: str, own: bool) -> None:
    assert from_own_page(headers(origin)) is own


def test_the_host_must_be_told_once() -> None:
    assert not from_own_page(noted([(b"Origin", OWN.encode())]))
    assert not from_own_page(noted([HOST, HOST, (b"Origin", OWN.encode())]))


@pytest.mark.parametrize(("site", "own"), [("same-origin", True), ("same-site", False), ("cross-site", False), ("none", False)])
def test_what_the_browser_says_of_the_site_is_believed_before_the_host(site: str, own: bool) -> None:
    """A page of http://api.example is another site to https://api.example, which the Host alone does not show."""
    assert from_own_page(headers("http://api.example", site)) is own
    assert from_own_page(headers(APP, site)) is own


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"DELETE"])
@pytest.mark.parametrize(
    ("origin", "may"), [(APP, True), (OWN, True), ("https://evil.example", False), ("null", False), ("", False)]
)
def test_with_an_origin_the_origin_decides_about_the_cookie(method: bytes, origin: str, may: bool) -> None:
    assert may_use_cookie(RequestHead(headers(origin), method), {APP}) is may


@pytest.mark.parametrize(("method", "may"), [(b"GET", True), (b"HEAD", True), (b"POST", False), (b"DELETE", False)])
def test_without_an_origin_a_cookie_is_for_reading_only(method: bytes, may: bool) -> None:
    assert may_use_cookie(RequestHead(headers(), method), {APP}) is may


@pytest.mark.parametrize(
    ("site", "may"), [("same-origin", True), ("same-site", True), ("none", True), ("cross-site", False), ("odd", False)]
)
def test_without_an_origin_another_site_may_not_use_the_cookie(site: str, may: bool) -> None:
    """An image of another site, or a link on it, is asked for with the visitor's cookies and without Origin."""
    assert may_use_cookie(RequestHead(headers(site=site)), {APP}) is may


def test_site_that_is_told_twice_is_not_believed() -> None:
    twice = noted([HOST, (b"Sec-Fetch-Site", b"same-origin"), (b"Sec-Fetch-Site", b"cross-site")])

    assert not may_use_cookie(RequestHead(twice), {APP})


@pytest.mark.parametrize("origin", [None, APP, "null"])
def test_what_is_bound_to_no_origin_comes_from_anywhere(origin: str | None) -> None:
    assert is_page_of(headers(origin), None, own=False)


@pytest.mark.parametrize(("told", "fits"), [(APP, True), (None, False), ("https://evil.example", False), ("null", False)])
def test_what_is_bound_to_another_origin_comes_from_there(told: str | None, fits: bool) -> None:
    assert is_page_of(headers(told), APP, own=False) is fits


@pytest.mark.parametrize(
    ("told", "site", "fits"),
    [
        (OWN, None, True),
        (None, None, True),
        (None, "same-origin", True),
        (None, "same-site", False),
        (None, "none", False),
        (APP, "same-origin", False),
    ],
)
def test_a_page_of_the_own_origin_sends_none_when_it_reads(told: str | None, site: str | None, fits: bool) -> None:
    assert is_page_of(headers(told, site), OWN, own=True) is fits
