"""The browser that other tests drive: what they lean on is so."""

from __future__ import annotations

import pytest

from tests.e2e.browser import PageError, open_page
from tests.e2e.site import open_site

pytestmark = pytest.mark.component("chromium")

FORM = "<!doctype html><link rel=icon href=data:,><form onsubmit='sent = field.value; return false'><input id=field autofocus></form>"


async def test_script_gives_back_what_it_resolves_to_and_raises_what_it_throws(chromium: str) -> None:
    async with open_page(chromium) as page:
        assert await page.run("async (a, b) => ({ sum: a + b })", 1, 2) == {"sum": 3}
        with pytest.raises(PageError, match="RangeError: no"):
            await page.run("() => { throw new RangeError('no') }")


async def test_what_the_page_prints_is_heard(chromium: str) -> None:
    async with open_page(chromium) as page:
        await page.run("() => console.log('one', 2)")

        assert page.printed == ["one 2"]


async def test_keys_and_text_reach_what_has_the_focus(chromium: str) -> None:
    async with open_site({"/": FORM}) as port, open_page(chromium, f"http://app.test:{port}/") as page:
        await page.run("() => field.focus()")
        await page.write("hello")
        await page.press("!")
        await page.press("Enter")

        assert await page.until("window.sent") == "hello!"


async def test_pages_share_no_cookies(chromium: str) -> None:
    async with open_site() as port, open_page(chromium, f"http://app.test:{port}/") as page:
        await page.run("() => { document.cookie = 'a=1' }")
        async with open_page(chromium, f"http://app.test:{port}/") as other:
            assert [await each.run("() => document.cookie") for each in (page, other)] == ["a=1", ""]


async def test_no_page_reaches_another_machine(chromium: str) -> None:
    async with open_page(chromium) as page:
        with pytest.raises(PageError, match="ERR_NAME_NOT_RESOLVED"):
            await page.go("http://example.com/")


async def test_window_has_the_size_and_colours_that_it_is_given(chromium: str) -> None:
    async with open_page(chromium) as page:
        await page.look_as(width=320, height=200, dark=True)

        assert await page.run("() => [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]") == [320, True]
        assert (await page.picture()).startswith(b"\x89PNG")
