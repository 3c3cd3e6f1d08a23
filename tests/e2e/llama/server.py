"""llama.cpp's OpenAI server with a model of the test's own, and the settings of a proxy before it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import ClassVar, Final

from proxy.settings import Settings
from tests.e2e.shipped import ROOT
from tests.support.client import RawClient
from tests.support.components import HOST, Program, free_port, unavailable
from tests.support.house import settings

PYTHON: Final = ROOT / ".venv-llama" / "bin" / "python"
WRITER: Final = Path(__file__).with_name("model.py")
MODEL: Final = "tiny"
SERVER_KEY: Final = "sk-upstream-a"  # what the harness's settings say to their first upstream
CLOCKS: Final = ("first_token_timeout", "response_timeout", "idle_timeout", "content_timeout")


class ModelServer(Program):
    """A running server. Use it as `async with ModelServer(folder) as server`; *folder* gets its model and its log."""

    START: ClassVar = 60.0  # it imports much

    def __init__(self, folder: Path) -> None:
        """Write the model."""
        self.port = free_port()
        model = folder / "tiny.gguf"
        subprocess.run([interpreter(), WRITER, model], check=True, timeout=self.START)
        # A request does not end the one before it, and the context is the model's own.
        own = [f"--host={HOST}", f"--port={self.port}", f"--api_key={SERVER_KEY}", "--interrupt_requests=False"]
        of_model = [f"--model={model}", f"--model_alias={MODEL}", "--n_ctx=0", "--n_threads=1", "--n_threads_batch=1"]
        command: list[str | Path] = [interpreter(), "-u", "-m", "llama_cpp.server", *own, *of_model]
        super().__init__(command, port=self.port, log=folder / "server.log")

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    def client(self) -> RawClient:
        """Return a new raw client; use it as a context manager."""
        return RawClient(HOST, self.port)

    def cancelled(self) -> int:
        """Return how many streams it has ended because their client had left."""
        return self.output().count("Disconnected from client")


def before(server: ModelServer) -> Settings:
    """Return settings of a proxy before *server*, with a keepalive every 100 ms and all the time that a busy machine may take."""
    streaming = {"keepalive_interval": "100ms", "commit_after": "200ms", **dict.fromkeys(CLOCKS, "2m")}
    models = [{"name": MODEL, "targets": [{"upstream": "a"}]}]
    return settings(server.url, streaming=streaming, models=models, upstreams={"a": {"passthrough": ["/v1/models"]}})


def interpreter() -> Path:
    """Return the Python that has the server's packages; skips where nobody has compiled them."""
    if not PYTHON.is_file():
        unavailable("LLAMA.CPP IS MISSING in .venv-llama, so this is not tested; make e2e-llama compiles it")
    return PYTHON
