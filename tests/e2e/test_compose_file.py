"""The compose file and its .env, as far as they can be held to their word without a Docker engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from proxy.settings import Settings
from tests.e2e.command import run, serve
from tests.e2e.shipped import ROOT

SERVICES: Final[dict[str, dict[str, Any]]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
MOUNTED: Final = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
PULLED: Final = {name: service["image"] for name, service in SERVICES.items() if "build" not in service}


def make_env(folder: Path) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / ".env.example", folder)
    command: list[str | Path] = [sys.executable, ROOT / "config" / "make_env.py"]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)


def variables(file: Path) -> dict[str, str]:
    """Return what an env file sets to something."""
    pairs = [line.partition("=") for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs if value}


async def test_key_that_make_env_shows_is_let_in_and_nothing_else_is(tmp_path: Path) -> None:
    shown = make_env(tmp_path)
    (key,) = re.findall(r"^  (lp_\w+)$", shown.stdout, re.MULTILINE)
    env = variables(tmp_path / ".env")
    signed = await run("token", "--sub", "alice", folder=tmp_path, env=env)

    async with serve(tmp_path, env) as serving:
        answers = []
        for credential in (key, signed.out.strip(), "lp_wrong"):
            async with serving.client() as client:
                answers.append((await client.request("GET", "/auth/ping", [("Authorization", f"Bearer {credential}")])).status)

    assert answers == [200, 200, 401]
    assert "simulator" in serving.line("upstreams")  # no backend's key is needed
    assert len(env["GRAFANA_PASSWORD"]) >= 20


def test_env_is_its_owners_only_and_never_written_over(tmp_path: Path) -> None:
    first, written = make_env(tmp_path), (tmp_path / ".env").read_text()
    second = make_env(tmp_path)

    assert (first.returncode, second.returncode) == (0, 1)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / ".env").read_text() == written


def test_example_holds_no_secret() -> None:
    assert variables(ROOT / ".env.example") == {"SITE": ":80", "PUBLISH": "127.0.0.1"}


def test_only_caddy_is_published_and_only_for_this_machine_unless_told() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["caddy"]
    assert all(port.startswith("${PUBLISH:-127.0.0.1}:") for port in SERVICES["caddy"]["ports"])


@pytest.mark.parametrize("name", SERVICES)
def test_service_has_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert "inside" in service["networks"]


@pytest.mark.parametrize("image", PULLED.values(), ids=PULLED)
def test_image_is_pinned(image: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+(\.\d+)?", image)


@pytest.mark.parametrize("path", sorted(path for path in MOUNTED if path.startswith("./")))
def test_what_is_mounted_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_everybody_waits_longer_than_a_drain_may_take() -> None:
    drain = Settings().drain
    needed = drain.grace + drain.deadline
    grace_period = re.findall(r"^\tgrace_period (\d+)s$", (ROOT / "Caddyfile").read_text(), re.MULTILINE)

    assert int(SERVICES["proxy"]["stop_grace_period"].removesuffix("s")) > needed
    assert int(grace_period[0]) > needed
    assert int(SERVICES["caddy"]["stop_grace_period"].removesuffix("s")) > int(grace_period[0])
