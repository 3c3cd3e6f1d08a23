from __future__ import annotations

import asyncio
import json
import re
import string
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

import proxy
from proxy.cli import checksum, main, new_key
from proxy.settings import Address, Settings
from proxy.store import Row, open_database

SECRET = "s" * 32
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _empty_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.environ", {})


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    surroundings: dict[str, str] = {}
    monkeypatch.setattr("os.environ", surroundings)
    return surroundings


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        """Keep quiet."""


@pytest.fixture
def admin_port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Ready) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_help_imports_nothing_heavy() -> None:
    """`--help` must answer at once."""
    code = (
        "import sys\nfrom proxy.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print('heavy:', sorted({'pydantic', 'yaml', 'aiohttp', 'jwt', 'asyncio'} & set(sys.modules)))"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "heavy: []" in result.stdout


@pytest.mark.parametrize(("command", "purpose"), [("key", "Make an API key."), ("schema", "Print the JSON schema of ")])
def test_the_help_of_a_command_keeps_its_words(capsys: Capture, command: str, purpose: str) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])

    assert f"\n{purpose}" in capsys.readouterr().out


def test_the_package_runs_as_a_program() -> None:
    result = subprocess.run([sys.executable, "-m", "proxy", "--version"], capture_output=True, text=True, check=True)

    assert result.stdout == f"llm-proxy {proxy.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["serve", "--nonsense"], ["token"], ["healthcheck", "--config", "a", "--url", "b"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2


def test_serve_hands_a_loader_to_the_server_and_returns_its_code(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    Path("c.yaml").write_text("log: {level: debug}")
    loaded: list[Settings] = []

    def run(load: Callable[[], Settings]) -> int:
        loaded.append(load())
        environ["LLM_PROXY_DRAIN__GRACE"] = "1s"
        loaded.append(load())
        return 7

    monkeypatch.setattr(proxy, "server", SimpleNamespace(run=run), raising=False)

    code = main(["serve", "--config", "c.yaml", "--listen", "127.0.0.1:0", "--workers", "3"])

    assert code == 7
    assert [each.drain.grace for each in loaded] == [5.0, 1.0]
    assert (loaded[1].listen, loaded[1].workers, loaded[1].log.level) == (Address("127.0.0.1", 0), 3, "debug")


def test_serve_ends_with_2_when_the_settings_are_wrong(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def run(load: Callable[[], Settings]) -> int:
        load()
        return 0

    monkeypatch.setattr(proxy, "server", SimpleNamespace(run=run), raising=False)

    code = main(["serve", "--listen", ":8080"])

    assert code == 2
    assert capsys.readouterr().err.startswith("option --listen listen: the host is missing")


def test_check_says_ok_and_what_is_configured(capsys: Capture, environ: dict[str, str]) -> None:
    environ["OPENAI_API_KEY"] = "sk-1234"

    code = main(["check"])

    out = capsys.readouterr().out
    assert code == 0
    assert out.splitlines() == [
        "ok: environment",
        "  upstream  openai (openai, key present)",
        "  model     * -> openai",
        "  clients   anybody on this machine (no credential is configured)",
    ]


def test_check_shows_every_problem_and_ends_with_2(capsys: Capture) -> None:
    Path("c.yaml").write_text("workers: many\nnonsense: 1\n")

    code = main(["check", "--config", "c.yaml"])

    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert [line.split(" ")[0] for line in captured.err.splitlines()] == ["c.yaml:1:10", "c.yaml:2:1"]


def test_the_schema_is_json(capsys: Capture) -> None:
    code = main(["schema"])

    assert code == 0
    assert json.loads(capsys.readouterr().out)["properties"]["listen"]["type"] == "string"


@pytest.mark.parametrize("command", ["schema", "check"])
def test_output_to_a_reader_that_has_left_ends_quietly(command: str) -> None:
    command = f"{sys.executable} -m proxy {command} | true; exit ${{PIPESTATUS[0]}}"

    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert result.stderr == ""
    assert result.returncode in {0, 1}


def test_a_key_is_shown_once_with_the_line_for_its_digest(capsys: Capture) -> None:
    code = main(["key", "--id", "ci"])

    captured = capsys.readouterr()
    key, line = captured.out.splitlines()
    assert code == 0
    assert line == f"- {{id: ci, sha256: {sha256(key.encode()).hexdigest()}}}"
    assert key not in captured.err


def test_the_line_of_a_new_key_is_a_valid_configuration(capsys: Capture) -> None:
    main(["key", "--id", "ci"])
    line = capsys.readouterr().out.splitlines()[1]
    Path("c.yaml").write_text(f"auth:\n  api_keys:\n    {line}\n")

    assert main(["check", "--config", "c.yaml"]) == 0


def test_a_key_s_id_must_be_a_word(capsys: Capture) -> None:
    assert main(["key", "--id", "a b"]) == 2
    assert capsys.readouterr().err.startswith("--id: expected at most 64 letters")


def test_a_key_has_a_prefix_enough_randomness_and_a_checksum() -> None:
    key = new_key()

    assert re.fullmatch(r"lp_[0-9A-Za-z]{38}", key)
    assert key[-6:] == checksum(key[3:-6])
    assert key != new_key()


def test_the_checksum_is_the_crc_32_in_base_62() -> None:
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase

    found = checksum("123456789")

    assert len(found) == 6
    assert (
        sum(digits.index(digit) * 62**place for place, digit in enumerate(reversed(found))) == 0xCBF43926
    )  # the usual check value


def test_a_token_is_signed_with_the_secret_of_the_environment(capsys: Capture, environ: dict[str, str]) -> None:
    environ["LLM_PROXY_JWT_SECRET"] = SECRET

    code = main(["token", "--sub", "me", "--ttl", "5m"])

    claims = jwt.decode(capsys.readouterr().out.strip(), SECRET, ["HS256"], audience="llm-proxy", issuer="llm-proxy")
    assert code == 0
    assert claims["sub"] == "me"
    assert claims["exp"] - claims["iat"] == 300
    assert claims["jti"]
    assert "models" not in claims


def issuers() -> str:
    return (
        "auth:\n  jwt:\n"
        "    - {issuer: rs, audience: a, algorithms: [RS256], jwks_url: 'https://h/keys'}\n"
        f"    - {{issuer: one, audience: a1, algorithms: [HS256], secret: {'1' * 32}, models_claim: allowed}}\n"
        f"    - {{issuer: two, audience: a2, algorithms: [HS384], secret: {'2' * 48}}}\n"
    )


def test_the_first_hs_issuer_signs(capsys: Capture) -> None:
    Path("c.yaml").write_text(issuers())

    main(["token", "--sub", "me", "--config", "c.yaml", "--models", "gpt-*, claude-*"])

    claims = jwt.decode(capsys.readouterr().out.strip(), "1" * 32, ["HS256"], audience="a1", issuer="one")
    assert claims["allowed"] == ["gpt-*", "claude-*"]


def test_a_token_for_an_issuer_with_a_models_claim_may_use_every_model_unless_told(capsys: Capture) -> None:
    Path("c.yaml").write_text(issuers())

    main(["token", "--sub", "me", "--config", "c.yaml"])

    assert jwt.decode(capsys.readouterr().out.strip(), "1" * 32, ["HS256"], audience="a1")["allowed"] == ["*"]


def test_issuer_and_audience_can_be_chosen(capsys: Capture) -> None:
    Path("c.yaml").write_text(issuers())

    main(["token", "--sub", "me", "--config", "c.yaml", "--issuer", "two", "--audience", "b"])

    assert jwt.decode(capsys.readouterr().out.strip(), "2" * 48, ["HS384"], audience="b", issuer="two")["sub"] == "me"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--issuer", "rs"], "no issuer named rs with an HS algorithm is configured"),
        (["--issuer", "two", "--models", "a"], "--models: the issuer has no models_claim"),
        (["--ttl", "60"], "--ttl: a number alone has no unit"),
        (["--ttl", "2d"], "--ttl: expected between 1s and 24h"),
        (["--ttl", "0s"], "--ttl: expected between 1s and 24h"),
        (["--sub", ""], "--sub: expected 1 to 256 printable characters"),
        (["--sub", "two\nlines"], "--sub: expected 1 to 256 printable characters"),
    ],
)
def test_a_token_that_would_not_work_is_refused(capsys: Capture, arguments: list[str], message: str) -> None:
    Path("c.yaml").write_text(issuers())

    code = main(["token", "--sub", "me", "--config", "c.yaml", *arguments])

    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.startswith(message)


def test_without_a_secret_the_token_command_says_where_to_put_one(capsys: Capture) -> None:
    code = main(["token", "--sub", "me"])

    assert code == 2
    assert capsys.readouterr().err == (
        "no issuer with an HS algorithm is configured: add one under auth.jwt, or set LLM_PROXY_JWT_SECRET\n"
    )


@pytest.mark.parametrize("arguments", [["token", "--sub", "me"], ["healthcheck"]])
def test_other_commands_show_problems_of_the_settings_too(capsys: Capture, environ: dict[str, str], arguments: list[str]) -> None:
    environ["LLM_PROXY_WORKERS"] = "x"

    assert main(arguments) == 2
    assert capsys.readouterr().err == "environment variable LLM_PROXY_WORKERS workers: expected a whole number\n"


@pytest.mark.parametrize("given", [["--listen", "[::1]:9"], []])
def test_simulate_runs_the_simulator_on_its_address(monkeypatch: pytest.MonkeyPatch, given: list[str]) -> None:
    asked: list[Address] = []

    def run(address: Address) -> int:
        asked.append(address)
        return 5

    monkeypatch.setattr(proxy, "simulator", SimpleNamespace(run=run), raising=False)

    code = main(["simulate", *given])

    assert code == 5
    assert asked == [Address("::1", 9) if given else Address("127.0.0.1", 8081)]


def test_simulate_refuses_a_wrong_address(capsys: Capture) -> None:
    assert main(["simulate", "--listen", "8080"]) == 2
    assert capsys.readouterr().err.startswith("--listen: expected host:port")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_healthcheck_asks_the_configured_admin_listener(environ: dict[str, str], admin_port: int, host: str) -> None:
    environ["LLM_PROXY_ADMIN__LISTEN"] = f"{host}:{admin_port}"

    assert main(["healthcheck"]) == 0


def test_healthcheck_asks_a_url(admin_port: int, capsys: Capture) -> None:
    assert main(["healthcheck", "--url", f"http://127.0.0.1:{admin_port}"]) == 0
    assert main(["healthcheck", "--url", f"http://127.0.0.1:{admin_port}/elsewhere"]) == 1
    assert "is not ready: status 503" in capsys.readouterr().err


def test_healthcheck_fails_when_nobody_answers(admin_port: int, capsys: Capture) -> None:
    assert main(["healthcheck", "--url", "http://127.0.0.1:1"]) == 1
    assert capsys.readouterr().err == "http://127.0.0.1:1 does not answer: Connection refused\n"


def test_healthcheck_refuses_a_wrong_url(capsys: Capture) -> None:
    assert main(["healthcheck", "--url", "ftp://h"]) == 2
    assert capsys.readouterr().err == "--url: expected the admin listener's URL, for example http://127.0.0.1:9090\n"


def stored(*rows: Row) -> None:
    """Write *rows* to the store that the configuration names."""
    Path("c.yaml").write_text("usage: {store: 'sqlite:///usage.db'}")

    async def write() -> None:
        database = open_database("sqlite:///usage.db")
        await database.write(rows)
        await database.close()

    asyncio.run(write())


@pytest.mark.parametrize(
    ("form", "shown"),
    [([], "total"), (["--json"], '"calls": 1'), (["--csv"], "hour,model,subject,calls")],
    ids=["table", "json", "csv"],
)
def test_usage_sums_up_the_last_day(capsys: Capture, form: list[str], shown: str) -> None:
    old, new = (Row(time.time() - age, "openai_call", b'{"model":"gpt"}') for age in (90_000, 60))
    stored(old, new)

    assert main(["usage", "--config", "c.yaml", *form]) == 0

    out = capsys.readouterr().out
    assert shown in out
    assert out.count("gpt") == 1


def test_usage_goes_back_as_far_as_is_asked(capsys: Capture) -> None:
    stored(Row(time.time() - 90_000, "openai_call", b'{"model":"gpt"}'))

    assert main(["usage", "--config", "c.yaml"]) == 0
    assert capsys.readouterr().out == "Nothing has been recorded in this time.\n"
    assert main(["usage", "--config", "c.yaml", "--since", "48h"]) == 0
    assert "gpt" in capsys.readouterr().out


def test_usage_says_what_is_missing(capsys: Capture) -> None:
    Path("c.yaml").write_text("log: {level: debug}")
    assert main(["usage", "--config", "c.yaml"]) == 2
    assert "set usage.store" in capsys.readouterr().err
    assert main(["usage", "--config", "c.yaml", "--since", "soon"]) == 2
    assert "--since" in capsys.readouterr().err
    Path("c.yaml").write_text("usage: {store: 'sqlite:///c.yaml/usage.db'}")
    assert main(["usage", "--config", "c.yaml"]) == 1
    assert "cannot be read" in capsys.readouterr().err
