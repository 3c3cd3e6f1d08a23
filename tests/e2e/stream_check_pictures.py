"""Draws docs/images/stream-check-*.png anew: the page's verdict on the proxy alone and behind an nginx that buffers, light and dark.

python -m tests.e2e.stream_check_pictures
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from tests.e2e.browser import Page, open_page, started
from tests.e2e.front import nginx
from tests.e2e.parts import demo
from tests.e2e.shipped import ROOT
from tests.support.house import open_house

PICTURES: Final = ROOT / "docs" / "images"
WIDTH: Final = 960
DONE: Final = "!document.getElementById('telling').hidden"
# The height of the page, when nothing has the focus and all is painted.
HEIGHT: Final = """() => new Promise(done => {
    document.activeElement.blur();
    requestAnimationFrame(() => requestAnimationFrame(() => done(document.body.scrollHeight)));
})"""


async def photograph(page: Page, port: int, name: str) -> None:
    """Let the page check what listens on *port*, and keep what it shows then."""
    await page.look_as(width=WIDTH)
    await page.go(f"http://127.0.0.1:{port}/stream-check?streams=fetch")
    for _ in range(2):  # the first check of a new browser shows the browser waking up
        await page.press("Enter")
        await page.until(DONE)
    for scheme in ("light", "dark"):
        height = await page.run(HEIGHT)
        await page.look_as(width=WIDTH, height=height, dark=scheme == "dark", scale=1.5)
        await page.run(HEIGHT)
        (PICTURES / f"stream-check-{name}-{scheme}.png").write_bytes(await page.picture())


async def drawn(devtools: str, folder: Path) -> None:
    """Draw all four."""
    async with open_house(demo(diagnostics={"public": True})) as house, open_page(devtools) as page:
        await photograph(page, house.server.address[1], "streaming")
        async with nginx(folder, house, location="proxy_ignore_headers X-Accel-Buffering;") as front:
            await photograph(page, front.port, "buffered")


def main() -> None:
    """Draw the pictures."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, started(Path(folder)) as devtools:
        asyncio.run(drawn(devtools, Path(folder)))


if __name__ == "__main__":
    main()
