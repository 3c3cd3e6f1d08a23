"""Real web servers in front of the proxy, each on a free port and with all of its files in the test's own folder."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support.certificates import Certificate
from tests.support.client import RawClient
from tests.support.components import HOST, Program, free_port, require
from tests.support.house import House

NGINX: Final = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
{user}
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream house {{ server {house}; {upstream} }}
  server {{
    listen {listen};
    location / {{ proxy_pass http://house; {location} }}
  }}
}}
"""
CADDY: Final = """
{{
  admin off
  auto_https off
}}
:{port} {{
  bind {host}
  {tls}
  {site}
  reverse_proxy {houses} {{
    {options}
  }}
}}
"""


class Front:
    """A web server that passes everything on to the proxy."""

    def __init__(self, port: int) -> None:
        self.port = port

    def client(self) -> RawClient:
        """Return a new raw client; use it as a context manager."""
        return RawClient(HOST, self.port)


@asynccontextmanager
async def nginx(folder: Path, house: House, *, location: str = "", upstream: str = "") -> AsyncIterator[Front]:
    """Run nginx in front of *house*, with nothing but its defaults and these directives."""
    port = free_port()
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # its workers must reach the test's folder
    listen = f"{HOST}:{port}"
    config.write_text(
        NGINX.format(folder=folder, user=user, house=address(house), listen=listen, location=location, upstream=upstream)
    )
    command: list[str | Path] = [require("nginx"), "-e", "stderr", "-p", folder, "-c", config]
    async with Program(command, port=port, log=folder / "nginx.log"):
        yield Front(port)


@asynccontextmanager
async def caddy(
    folder: Path,
    *houses: House,
    name: str = "caddy",
    options: str = "",
    site: str = "",
    certificate: Certificate | None = None,
) -> AsyncIterator[Front]:
    """Run Caddy in front of *houses*, with nothing but its defaults, these options of `reverse_proxy`, directives, and TLS if wanted."""
    port = free_port()
    config = folder / "Caddyfile"
    tls = "" if certificate is None else f"tls {certificate.chain} {certificate.key}"
    text = CADDY.format(port=port, host=HOST, tls=tls, site=site, houses=" ".join(map(address, houses)), options=options)
    config.write_text(text)
    home = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    command: list[str | Path] = [require(name), "run", "--config", config, "--adapter", "caddyfile"]
    async with Program(command, port=port, log=folder / "caddy.log", env=home):
        yield Front(port)


def address(house: House) -> str:
    """Return host and port of the proxy's public listener."""
    return "{}:{}".format(*house.server.address)
