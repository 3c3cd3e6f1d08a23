"""Draws docs/images/doctor.png anew: what the doctor really says of a proxy, a Caddy and an nginx that buffers, as a terminal shows it.

make doctor-picture

Only the addresses are others: names stand for the ports of this machine.
"""

from __future__ import annotations

import asyncio
import html
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.e2e.command import run
from tests.e2e.front import caddy, nginx
from tests.e2e.shipped import ROOT
from tests.support.components import HOST, require
from tests.support.house import KEY, open_house, settings

PICTURE: Final = ROOT / "docs" / "images" / "doctor.png"
WORDS: Final = ("--compression", "--disconnect")
COMMAND: Final = f"llm-proxy doctor http://proxy:8080 http://caddy http://nginx {' '.join(WORDS)}"
LINE, COLUMN, MARGIN = 19, 8.43, 20  # pixels of one line, one character, and around them
STYLES: Final = {
    "1": "font-weight:bold;color:#f0f3f6",
    "2": "color:#8b949e",
    "31": "color:#ff7b72",
    "32": "color:#7ee787",
    "33": "color:#e3b341",
    "1;31": "color:#ff7b72;font-weight:bold",
    "1;32": "color:#7ee787;font-weight:bold",
}
PAGE: Final = """<!doctype html><meta charset=utf-8>
<body style="margin:0;background:#0d1117">
<pre style="margin:{margin}px;font:14px/{line}px 'DejaVu Sans Mono',monospace;color:#c9d1d9">{text}</pre>"""


async def said(folder: Path) -> str:
    """Let the doctor examine three hops, and return what it says, with names for addresses."""
    front, desk = folder / "front", folder / "desk"
    front.mkdir()
    desk.mkdir()
    async with (
        open_house(settings(streaming={"keepalive_interval": "1s"})) as house,
        caddy(folder, house) as inner,
        nginx(front, house, location="proxy_ignore_headers X-Accel-Buffering;") as outer,
    ):
        names = {house.url: "http://proxy:8080", url(inner.port): "http://caddy", url(outer.port): "http://nginx"}
        ended = await run("doctor", *names, *WORDS, folder=desk, env={"LLM_PROXY_KEY": KEY, "FORCE_COLOR": "1"})
    text = ended.out
    for address, name in names.items():
        text = text.replace(address, name)
    return text


def url(port: int) -> str:
    return f"http://{HOST}:{port}"


def page(text: str) -> tuple[str, int, int]:
    """Return the picture as HTML, with its width and height."""
    lines = [f"\x1b[32m$\x1b[0m {COMMAND}", "", *text.rstrip().splitlines()]
    width = max(len(re.sub("\x1b\\[[0-9;]*m", "", line)) for line in lines)
    body = "\n".join("".join(_spans(line)) for line in lines)
    return PAGE.format(margin=MARGIN, line=LINE, text=body), round(width * COLUMN) + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN


def _spans(line: str) -> Iterator[str]:
    for code, plain in re.findall("(?:\x1b\\[([0-9;]*)m)?([^\x1b]*)", line):
        style = STYLES.get(code)
        yield f'<span style="{style}">{html.escape(plain)}</span>' if style else html.escape(plain)


def photograph(text: str, folder: Path) -> None:
    """Write the picture, by way of a browser."""
    content, width, height = page(text)
    file = folder / "doctor.html"
    file.write_text(content)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},{height}"]
    subprocess.run([require("chromium"), *flags, f"--screenshot={PICTURE}", file.as_uri()], check=True, capture_output=True)


def main() -> None:
    """Draw it."""
    with tempfile.TemporaryDirectory() as folder:
        photograph(asyncio.run(said(Path(folder))), Path(folder))


if __name__ == "__main__":
    main()
