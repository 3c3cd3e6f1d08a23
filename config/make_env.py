"""Writes .env from .env.example with fresh secrets, and shows the one API key that it makes. `make env` runs it."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from pathlib import Path

from proxy.cli import new_key


def main() -> int:
    """Write the file, readable by its owner only; one that is there already stays as it is."""
    key = new_key()
    made = {
        "LLM_PROXY_API_KEYS": f"me:{hashlib.sha256(key.encode()).hexdigest()}",
        "LLM_PROXY_JWT_SECRET": secrets.token_urlsafe(32),
        "GRAFANA_PASSWORD": secrets.token_urlsafe(18),
    }
    try:
        file = os.open(".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(".env is there already and stays as it is", file=sys.stderr)
        return 1
    with os.fdopen(file, "w") as env:
        env.write(filled(Path(".env.example").read_text(), made))
    print(f"Wrote .env. The API key in it, shown this once:\n\n  {key}\n\nNow: docker compose up")
    return 0


def filled(example: str, made: dict[str, str]) -> str:
    """Return *example* with values behind the names in *made*, each of which must stand there without one."""
    for name, value in made.items():
        before, line, after = example.partition(f"\n{name}=\n")
        if not line:
            raise ValueError(f".env.example has no empty {name}")
        example = f"{before}\n{name}={value}\n{after}"
    return example


if __name__ == "__main__":
    sys.exit(main())
