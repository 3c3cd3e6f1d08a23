from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection

import pytest

RUN = (
    "import sys; from types import SimpleNamespace; from proxy.simulator import run; "
    "sys.exit(run(SimpleNamespace(host='127.0.0.1', port=int(sys.argv[1]))))"
)


def started(port: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_simulator_alone_serves_until_it_is_told_to_stop(number: signal.Signals) -> None:
    with started() as process:
        assert process.stdout is not None
        banner = "".join(process.stdout.readline() for _ in range(3))
        found = re.search(r"curl -N http://127\.0\.0\.1:(\d+)/v1/chat/completions", banner)
        assert found, banner
        connection = HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
        connection.request("GET", "/v1/models")
        status = connection.getresponse().status
        connection.close()

        process.send_signal(number)
        _, errors = process.communicate(timeout=10)

    assert (status, process.returncode, errors) == (200, 0, "")
    assert "slow_first_token" in banner
    assert "OpenAI, Azure OpenAI, Anthropic, Gemini, Bedrock" in banner


def test_port_in_use_is_told_in_one_line_and_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, started(taken.getsockname()[1]) as process:
        output, errors = process.communicate(timeout=10)

    assert process.returncode == 1
    assert output == ""
    assert errors.startswith("llm-proxy: cannot listen: ")
    assert errors.endswith("address already in use; --listen chooses another address\n")
    assert errors.count("\n") == 1
