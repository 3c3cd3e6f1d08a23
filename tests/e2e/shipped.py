"""The web server configurations that operators are given, run as they are: only addresses and log files are the test's."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.e2e.front import address
from tests.support.client import RawClient
from tests.support.components import HOST, Program, free_port, require
from tests.support.house import House

ROOT: Final = Path(__file__).resolve().parents[2]
CADDYFILE: Final = ROOT / "Caddyfile"
PROXY: Final = "127.0.0.1:8080"  # as the files name it
NGINX_MAIN: Final = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
{user}
events {{}}
http {{
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/llm-proxy.conf;
}}
"""


class Shipped:
    """A running web server with its configuration of this repository."""

    def __init__(self, program: Program, port: int, folder: Path) -> None:
        self.program = program
        self.port = port
        self.folder = folder

    def client(self, *, tls: ssl.SSLContext | None = None) -> RawClient:
        """Return a new raw client; use it as a context manager."""
        return RawClient("localhost" if tls else HOST, self.port, tls=tls)

    def logs(self) -> str:
        """Return everything it has logged so far."""
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))


@dataclass(frozen=True, slots=True)
class Caddy:
    """One version of Caddy with the repository's Caddyfile."""

    name: str  # of the program
    env: Mapping[str, str] = field(default_factory=dict)  # what the file must know of this version

    @asynccontextmanager
    async def __call__(self, folder: Path, *houses: House, **env: str) -> AsyncIterator[Shipped]:
        """Run it in front of *houses*, with *env* for the file's own variables."""
        port = free_port()
        site = {"SITE": f":{port}", "PROXY": " ".join(map(address, houses))}
        async with self._program(folder, {**site, **env}, port) as program:
            yield Shipped(program, port, folder)

    @asynccontextmanager
    async def secure(self, folder: Path, house: House) -> AsyncIterator[tuple[Shipped, Shipped]]:
        """Run it for a site with a name, for which it makes a certificate by itself; yields its https and its http side."""
        secure, plain = free_port(), free_port()
        site = {"SITE": "localhost", "PROXY": address(house), "HTTPS_PORT": str(secure), "HTTP_PORT": str(plain)}
        async with self._program(folder, site, secure) as program:
            yield Shipped(program, secure, folder), Shipped(program, plain, folder)

    def _program(self, folder: Path, env: Mapping[str, str], port: int) -> Program:
        own = {**dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder)), "CADDY_ADMIN": "off", **self.env}
        command: list[str | Path] = [require(self.name), "run", "--config", CADDYFILE, "--adapter", "caddyfile"]
        return Program(command, port=port, log=folder / "caddy.log", env={**own, **env})


OLD: Final = Caddy("caddy", {"BUFFERS": "buffer_requests"})  # Debian's
CURRENT: Final = Caddy("caddy-current")  # the one that the file is meant for


@asynccontextmanager
async def nginx(folder: Path, house: House) -> AsyncIterator[Shipped]:
    """Run nginx with config/nginx.conf in front of *house*."""
    port = free_port()
    changes = {PROXY: address(house), "listen 80;": f"listen {HOST}:{port};", "/var/log/nginx/": f"{folder}/"}
    (folder / "llm-proxy.conf").write_text(changed(ROOT / "config" / "nginx.conf", changes))
    main = folder / "nginx.conf"
    main.write_text(NGINX_MAIN.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""))
    command: list[str | Path] = [require("nginx"), "-e", "stderr", "-p", folder, "-c", main]
    async with Program(command, port=port, log=folder / "nginx.log") as program:
        yield Shipped(program, port, folder)


@asynccontextmanager
async def haproxy(folder: Path, house: House, *, without: str = "") -> AsyncIterator[Shipped]:
    """Run HAProxy with config/haproxy.cfg in front of *house*, or with that file *without* one of its lines."""
    port = free_port()
    config = folder / "haproxy.cfg"
    changes = {PROXY: address(house), "bind :80\n": f"bind {HOST}:{port}\n", **({without: "#"} if without else {})}
    config.write_text(changed(ROOT / "config" / "haproxy.cfg", changes))
    command: list[str | Path] = [require("haproxy"), "-db", "-f", config]
    async with Program(command, port=port, log=folder / "haproxy.log") as program:
        yield Shipped(program, port, folder)


def changed(file: Path, changes: Mapping[str, str]) -> str:
    """Return *file*'s text with *changes*, each of which must be one: what the file no longer says is not tested either."""
    text = file.read_text()
    for old, new in changes.items():
        assert old in text, f"{file.name} does not say {old!r}"
        text = text.replace(old, new)
    return text
