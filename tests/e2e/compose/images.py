"""Stands in for the images that Dockerfile and compose file name, under those names, made of Debian's packages of those versions.

No image registry is needed. What is made once lies in build/compose until `make clean`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, Final

import yaml

from tests.e2e.compose.engine import Engine, run
from tests.e2e.shipped import ROOT

KEPT: Final = ROOT / "build" / "compose"
PROGRAMS: Final = KEPT / "programs"
COMPOSE: Final = PROGRAMS / "usr" / "libexec" / "docker" / "cli-plugins" / "docker-compose"
UNPACK: Final = ROOT / ".ci" / "unpack"
AUTHORITIES: Final = Path("etc/ssl/certs/ca-certificates.crt")
DEBIAN: Final = "debian:trixie"
PYTHON: Final = re.findall(r"^ARG BASE=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[0]

# What each image has of its own, on top of Debian; the last lines are those of the real images.
RECIPES: Final = {
    PYTHON: "RUN ln -s /usr/bin/python3 /usr/local/bin/python\n",
    "caddy": """
        COPY caddy /usr/bin/caddy
        ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
        CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
    """,
    "prom/prometheus": """
        COPY prometheus /bin/prometheus
        RUN mkdir /prometheus && chown 65534:65534 /prometheus
        USER 65534
        ENTRYPOINT ["/bin/prometheus"]
    """,
    "redis": "RUN apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends redis-server\n",
}


def compose_file() -> dict[str, Any]:
    """Return the compose file's content."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def make(engine: Engine) -> None:
    """Make every image that the files name, but Grafana's, of which Debian has no package."""
    _fetch()
    archive = KEPT / "debian.tar"
    engine.docker("import", archive, DEBIAN)
    named = [service["image"] for service in compose_file()["services"].values() if ":" in service["image"]]
    for image in [PYTHON, *(name for name in named if not name.startswith("grafana/"))]:
        recipe = RECIPES.get(image) or RECIPES[image.partition(":")[0]]
        (PROGRAMS / "usr" / "bin" / "Dockerfile").write_text(f"FROM {DEBIAN}\n" + recipe)
        engine.docker("build", "--tag", image, PROGRAMS / "usr" / "bin")


def _fetch() -> None:
    """Make or get what is not there yet: a Debian as small as it can be, and newer programs than this machine's."""
    KEPT.mkdir(parents=True, exist_ok=True)
    if not COMPOSE.exists():
        run(UNPACK, "trixie", PROGRAMS, "docker-compose")
        run(UNPACK, "forky", PROGRAMS, "caddy", "prometheus")
    if not (KEPT / "debian.tar").exists():
        _debian(KEPT / "debian")


def _debian(root: Path) -> None:
    packages = "--include=ca-certificates,python3,python3-venv,wget"
    run("debootstrap", "--variant=minbase", packages, "trixie", root, within=600)
    # pip asks this machine's authorities, whichever they are
    shutil.copyfile(Path("/") / AUTHORITIES, root / AUTHORITIES)
    (root / "etc" / "pip.conf").write_text(f"[global]\ncert = /{AUTHORITIES}\n")
    shutil.rmtree(root / "var" / "cache" / "apt")
    unfinished = KEPT / "debian.tar.unfinished"
    run(
        "tar",
        "--create",
        "--file",
        unfinished,
        "--directory",
        root,
        "--exclude=./proc/*",
        "--exclude=./sys/*",
        "--exclude=./dev/*",
        ".",
    )
    unfinished.rename(KEPT / "debian.tar")
    shutil.rmtree(root)
