"""The command line: parses arguments, runs one command, and turns its end into an exit code.

Everything but argparse is imported inside the command that needs it, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from proxy import __version__
from proxy.doctor import arguments as doctor_arguments

if TYPE_CHECKING:
    from proxy.settings import Address, JwtIssuer, Origin, Settings
    from proxy.store import Database

Command = Callable[[argparse.Namespace], int]

GOOD: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_LENGTH: Final = 32  # characters of log2(62) bits: 190 bits
_HEALTH_TIMEOUT: Final = 3.0
_SIMULATOR_ADDRESS: Final = "127.0.0.1:8081"
_CONFIG_HELP: Final = "default: $LLM_PROXY_CONFIG, else config/proxy.yaml, else the environment alone"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* (default: the process's own) ask for, and return its exit code."""
    chosen = _parser().parse_args(arguments)
    run: Command = chosen.run
    try:
        code = run(chosen)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has left; Python's own flush at exit must not complain about it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llm-proxy", description="A streaming reverse proxy for LLM backends.")
    parser.add_argument("--version", action="version", version=f"llm-proxy {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Command, purpose: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        added.set_defaults(run=run)
        return added

    _add_server_commands(command)
    _add_client_commands(command)
    worker = commands.add_parser("worker")  # without a line in the help: only a supervisor can start one
    worker.set_defaults(run=_worker)
    worker.add_argument("files", type=int, nargs=3)
    return parser


def _add_server_commands(command: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    serve = command("serve", _serve, "run the proxy")
    serve.add_argument("--config", metavar="FILE", help=_CONFIG_HELP)
    serve.add_argument("--listen", metavar="HOST:PORT", help="public address, over the configured one")
    serve.add_argument("--workers", metavar="N", help="number of processes, over the configured one")
    usage = command("usage", _usage, "sum up what the usage store has recorded")
    usage.add_argument("--config", metavar="FILE", help=_CONFIG_HELP)
    usage.add_argument("--since", metavar="TIME", default="24h", help="how far back (default: %(default)s)")
    form = usage.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", const="json", dest="form", help="for machines")
    form.add_argument("--csv", action="store_const", const="csv", dest="form", help="for spreadsheets")
    check = command("check", _check, "validate the configuration and say what is in it")
    check.add_argument("--config", metavar="FILE", help=_CONFIG_HELP)
    command("schema", _schema, "print the JSON schema of the configuration file")
    simulate = command("simulate", _simulate, "run the simulated backend alone")
    simulate.add_argument("--listen", metavar="HOST:PORT", default=_SIMULATOR_ADDRESS, help="default: %(default)s")
    health = command("healthcheck", _healthcheck, "ask a running proxy whether it is ready").add_mutually_exclusive_group()
    health.add_argument("--config", metavar="FILE", help=_CONFIG_HELP)
    health.add_argument("--url", help="the admin listener, for example http://127.0.0.1:9090")


def _add_client_commands(command: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    key = command("key", _key, "make an API key")
    key.add_argument("--id", default="client", metavar="NAME", help="the subject in logs and limits (default: %(default)s)")
    token = command("token", _token, "sign a development token with the HS secret of the configuration")
    token.add_argument("--config", metavar="FILE", help=_CONFIG_HELP)
    token.add_argument("--sub", required=True, metavar="S", help="who the token is for")
    token.add_argument("--ttl", default="1h", metavar="TIME", help="how long it lives (default: %(default)s)")
    token.add_argument("--issuer", help="which issuer of the configuration signs (default: the first with an HS algorithm)")
    token.add_argument("--audience", help="default: the issuer's")
    token.add_argument("--models", metavar="A,B", help="allow-list, in the issuer's models_claim")
    doctor_arguments.add_to(command("doctor", _doctor, "find the hop between client and proxy that spoils streams"))


def _serve(arguments: argparse.Namespace) -> int:
    from proxy import server
    from proxy.settings import SettingsError, load

    options = {name: value for name in ("listen", "workers") if (value := getattr(arguments, name)) is not None}
    try:
        return server.run(lambda: load(arguments.config, os.environ, options=options))
    except SettingsError as exc:
        return _refuse(str(exc))


def _worker(arguments: argparse.Namespace) -> int:
    from proxy import worker

    return worker.run(*arguments.files)


def _check(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments.config)
    if settings is None:
        return WRONG_USE
    from proxy.banner import clients, credential

    print(f"ok: {settings.source}")
    for name, upstream in settings.upstreams.items():
        print(f"  upstream  {name} ({upstream.kind}, {credential(upstream)})")
    for model in settings.models:
        print(f"  model     {model.name} -> {', '.join(target.upstream for target in model.targets)}")
    print(f"  clients   {clients(settings)}")
    return GOOD


def _usage(arguments: argparse.Namespace) -> int:
    import asyncio
    import time

    from proxy.settings.values import duration
    from proxy.store import StoreError, open_database, report

    settings = _settings(arguments.config)
    if settings is None:
        return WRONG_USE
    try:
        since = time.time() - duration(arguments.since)
    except ValueError as exc:
        return _refuse(f"--since: {exc}")
    if settings.usage.store is None:
        return _refuse("nothing is recorded: set usage.store, for example to sqlite:///data/usage.db")
    database = open_database(settings.usage.store.get_secret_value())
    try:
        lines = report.summed(asyncio.run(_read_all(database, since)))
    except StoreError as exc:
        return _fail(f"the usage store cannot be read: {exc}")
    print({"json": report.as_json, "csv": report.as_csv}.get(arguments.form, report.as_table)(lines))
    return GOOD


async def _read_all(database: Database, since: float) -> list[tuple[float, str, dict[str, Any]]]:
    try:
        return await database.read(since)
    finally:
        await database.close()


def _schema(_arguments: argparse.Namespace) -> int:
    import json

    from proxy.settings import json_schema

    print(json.dumps(json_schema(), indent=2))
    return GOOD


def _simulate(arguments: argparse.Namespace) -> int:
    from proxy import simulator

    address = _address(arguments.listen)
    return WRONG_USE if address is None else simulator.run(address)


def _key(arguments: argparse.Namespace) -> int:
    from hashlib import sha256

    from pydantic import ValidationError

    from proxy.settings import ApiKey

    key = new_key()
    try:
        entry = ApiKey(id=arguments.id, sha256=sha256(key.encode()).hexdigest())
    except ValidationError as exc:
        return _refuse(f"--id: {exc.errors()[0]['ctx']['error']}")
    print(key)
    print(f"- {{id: {entry.id}, sha256: {entry.sha256}}}")
    print("The first line is the key: it is shown this once. The second belongs under auth.api_keys;", file=sys.stderr)
    print("without a file: LLM_PROXY_API_KEYS=id:sha256", file=sys.stderr)
    return GOOD


def new_key() -> str:
    """Return a new API key: prefix, random part, and a checksum by which scanners know a leaked one."""
    import secrets

    body = "".join(secrets.choice(_ALPHABET) for _ in range(_KEY_LENGTH))
    return f"lp_{body}{checksum(body)}"


def checksum(body: str) -> str:
    """Return the six base-62 digits of the CRC-32 of a key's random part."""
    from zlib import crc32

    value, digits = crc32(body.encode()), ""
    for _ in range(6):
        value, digit = divmod(value, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def _token(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments.config)
    if settings is None:
        return WRONG_USE
    try:
        ttl = _lifetime(arguments.ttl)
        _check_subject(arguments.sub)
    except ValueError as exc:
        return _refuse(str(exc))
    issuer = _issuer(settings, arguments.issuer)
    if issuer is None:
        named = f"named {arguments.issuer} " if arguments.issuer else ""
        return _refuse(
            f"no issuer {named}with an HS algorithm is configured: add one under auth.jwt, or set LLM_PROXY_JWT_SECRET"
        )
    if arguments.models and issuer.models_claim is None:
        return _refuse("--models: the issuer has no models_claim, so the list would not be looked at")
    print(_signed(issuer, arguments, ttl))
    return GOOD


def _lifetime(text: str) -> int:
    from proxy.auth.issuer import MAX_LIFETIME
    from proxy.settings.values import duration

    try:
        seconds = int(duration(text))
    except ValueError as exc:
        raise ValueError(f"--ttl: {exc}") from None
    if not 0 < seconds <= MAX_LIFETIME:
        raise ValueError("--ttl: expected between 1s and 24h: the proxy refuses tokens that live longer")
    return seconds


def _check_subject(text: str) -> None:
    from proxy.auth.issuer import MAX_SUBJECT, is_subject

    if not is_subject(text):
        raise ValueError(f"--sub: expected 1 to {MAX_SUBJECT} printable characters: the proxy refuses any other subject")


def _issuer(settings: Settings, name: str | None) -> JwtIssuer | None:
    return next((each for each in settings.auth.jwt if each.symmetric and name in {None, each.issuer}), None)


def _signed(issuer: JwtIssuer, arguments: argparse.Namespace, ttl: int) -> str:
    import secrets
    import time

    import jwt

    now = int(time.time())
    claims: dict[str, object] = {"iss": issuer.issuer, "sub": arguments.sub, "aud": arguments.audience or issuer.audience}
    claims |= {"iat": now, "exp": now + ttl, "jti": secrets.token_urlsafe(12)}
    if issuer.models_claim is not None:
        # Where the claim is configured, a token without it may use nothing.
        claims[issuer.models_claim] = [name for name in map(str.strip, (arguments.models or "*").split(",")) if name]
    return jwt.encode(claims, issuer.secret.get_secret_value(), algorithm=issuer.algorithms[0])


def _doctor(arguments: argparse.Namespace) -> int:
    from proxy.doctor import command

    return command.run(arguments, os.environ)


def _healthcheck(arguments: argparse.Namespace) -> int:
    from proxy.settings import Origin

    if arguments.url:
        try:
            return _ask(Origin.parse(arguments.url))
        except ValueError:
            return _refuse("--url: expected the admin listener's URL, for example http://127.0.0.1:9090")
    settings = _settings(arguments.config)
    if settings is None:
        return WRONG_USE
    listen = settings.admin.listen
    # Where every interface listens, this machine is reached by its loopback.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 - compared, not bound
    return _ask(Origin("http", host, listen.port))


def _ask(origin: Origin) -> int:
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    kind = HTTPSConnection if origin.scheme == "https" else HTTPConnection
    connection = kind(origin.host, origin.port, timeout=_HEALTH_TIMEOUT)
    try:
        connection.request("GET", f"{origin.path}/readyz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as exc:
        return _fail(f"{origin} does not answer: {getattr(exc, 'strerror', None) or exc}")
    finally:
        connection.close()
    return GOOD if status == 200 else _fail(f"{origin} is not ready: status {status}")


def _settings(config: str | None) -> Settings | None:
    """Load the settings; None after their problems have been printed."""
    from proxy.settings import SettingsError, load

    try:
        return load(config, os.environ)
    except SettingsError as exc:
        _refuse(str(exc))
        return None


def _address(text: str) -> Address | None:
    from proxy.settings import Address

    try:
        return Address.parse(text)
    except ValueError as exc:
        _refuse(f"--listen: {exc}")
        return None


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return WRONG_USE


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return FAILED
