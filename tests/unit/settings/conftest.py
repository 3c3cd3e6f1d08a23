"""Settings from a text, in an empty directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.settings import Settings, SettingsError, load

Load = Callable[..., Settings]
Complaints = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def load_text() -> Load:
    """Loads a file `c.yaml` with the given text; keywords are the environment."""

    def loaded(text: str, **environ: str) -> Settings:
        Path("c.yaml").write_text(text)
        return load("c.yaml", environ)

    return loaded


@pytest.fixture
def complaints(load_text: Load) -> Complaints:
    """Loads a text that is wrong, and gives the lines that say so."""

    def refused(text: str, **environ: str) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            load_text(text, **environ)
        return str(caught.value).splitlines()

    return refused
