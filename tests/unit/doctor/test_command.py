"""`llm-proxy doctor`, from its arguments to its exit code."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import ssl
from pathlib import Path

import pytest

from proxy.doctor import arguments, command
from proxy.doctor.hop import Course
from proxy.doctor.paint import Paint
from proxy.doctor.target import Target
from proxy.doctor.verdicts import Kind
from proxy.handler import trial_plan
from tests.support.certificates import Authority
from tests.support.components import free_port
from tests.unit.doctor.serving import DONE, HEAD, serving, tick

Capture = pytest.CaptureFixture[str]


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    arguments.add_to(parser)
    return parser.parse_args(words)


def order(*words: str, **environ: str) -> command.Order:
    return command.read(parsed(*words), environ)


def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_order_has_the_hops_and_the_course() -> None:
    found = order("http://a", "http://b", "--count", "5", "--interval", "0.25", "--size", "9")

    assert found.targets == [Target("http://a"), Target("http://b")]
    assert found.course == Course(count=5, interval=0.25, size=9)
    assert found.ask(found.targets[0]) is None


def test_bounds_are_those_of_the_proxy() -> None:
    assert (command.LONGEST, command.LARGEST) == (trial_plan.LONGEST, trial_plan.LARGEST)


@pytest.mark.parametrize(
    ("words", "environ", "header"),
    [
        (("--key", "k1"), {"LLM_PROXY_KEY": "k2"}, "Bearer k1"),
        ((), {"LLM_PROXY_KEY": "k2"}, "Bearer k2"),
        (("--key", ""), {"LLM_PROXY_KEY": "k2"}, None),
        ((), {}, None),
    ],
)
def test_key_is_the_one_that_is_given_or_the_environment_has(
    words: tuple[str, ...], environ: dict[str, str], header: str | None
) -> None:
    assert order("http://a", *words, **environ).headers.get("Authorization") == header


def test_more_headers_are_taken_as_they_are() -> None:
    found = order("http://a", "--header", "x-api-key: k", "--header", "X-Two:a: b")

    assert found.headers == {"x-api-key": "k", "X-Two": "a: b"}


def test_foreign_stream_is_asked_for_with_its_body() -> None:
    found = order("http://a/v1?x=1", "--url-is-stream", "--data", '{"stream": true}')
    asked = found.ask(found.targets[0])

    assert asked is not None
    assert (asked.url, asked.method, asked.body) == ("http://a/v1?x=1", "POST", b'{"stream": true}')
    assert asked.headers["Content-Type"] == "application/json"


def test_time_is_estimated() -> None:
    ours = order("http://a", "http://b", "--count", "5", "--idle", "7", "--post")
    foreign = order("http://a", "http://b", "--url-is-stream", "--for", "20")

    assert ours.seconds == 2 * 2 + 7 + 1.5
    assert foreign.seconds == 40


def test_foreign_stream_without_a_body_is_read() -> None:
    found = order("http://a/v1", "--url-is-stream")
    asked = found.ask(found.targets[0])

    assert asked is not None
    assert (asked.method, "Content-Type" in asked.headers) == ("GET", False)


def test_authority_of_a_file_is_trusted_besides_the_systems(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    plain, more = order("http://a").tls, order("http://a", "--cafile", str(authority.path)).tls

    assert len(more.get_ca_certs()) == len(plain.get_ca_certs()) + 1
    assert more.verify_mode is ssl.CERT_REQUIRED


def test_insecure_trusts_everybody() -> None:
    assert order("http://a", "--insecure").tls.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ftp://a",), "only http and https"),
        (("http://a", "--count", "2"), "--count must be 3 to 1000"),
        (("http://a", "--interval", "0"), "--interval must be"),
        (("http://a", "--interval", "nan"), "--interval must be"),
        (("http://a", "--size", "-1"), "--size must be"),
        (("http://a", "--data", "{}"), "--url-is-stream"),
        (("http://a", "--count", "3", "--interval", "0.1"), "which proves something"),
        (("http://a", "--count", "61", "--interval", "60"), "an hour at most"),
        (("http://a", "--count", "17", "--size", "1048576"), "16 MiB at most"),
        (("http://a", "--for", "0"), "--for must be"),
        (("http://a", "--url-is-stream", "--post"), "need this proxy's own test stream"),
        (("http://a", "--header", "no colon"), "cannot be sent"),
        (("http://a", "--key", "a\nb"), "cannot be sent"),
        (("http://a", "--cafile", "/nowhere.pem"), "--cafile: No such file or directory"),
        (("http://a", "--cafile", "/dev/null"), "--cafile: "),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(words: tuple[str, ...], says: str, capsys: Capture) -> None:
    code = command.run(parsed(*words), {})

    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.startswith("llm-proxy doctor: ")
    assert says in said.err
    assert len(said.err.splitlines()) == 1


def test_hop_that_does_not_stream_is_exit_code_1(capsys: Capture) -> None:
    code = command.run(parsed(nowhere()), {})

    assert code == 1
    assert "REFUSED  nothing listens there" in capsys.readouterr().out


@pytest.mark.parametrize("json_or_not", [(), ("--json",)])
def test_secrets_in_a_url_are_not_printed(json_or_not: tuple[str, ...], capsys: Capture) -> None:
    command.run(parsed(f"{nowhere()}/v1?access_token=secret", "--url-is-stream", *json_or_not), {})

    said = capsys.readouterr()
    assert "/v1?access_token=***" in said.out
    assert "secret" not in said.out + said.err


def test_json_is_all_that_is_printed_with_json(capsys: Capture) -> None:
    code = command.run(parsed(nowhere(), "--json"), {"FORCE_COLOR": "1"})

    said = capsys.readouterr()
    assert code == 1
    assert json.loads(said.out)["hops"][0]["verdict"]["word"] == "REFUSED"
    assert "\x1b" not in said.out


def test_colour_is_used_where_it_is_wanted(capsys: Capture) -> None:
    command.run(parsed(nowhere()), {"FORCE_COLOR": "1"})

    assert "\x1b[1;31m✗ REFUSED\x1b[0m" in capsys.readouterr().out


async def test_all_hops_that_stream_are_exit_code_0() -> None:
    async with serving(HEAD + b"\r\n" + tick(1) + tick(2, 1) + tick(3, 2) + DONE) as server:
        assert await asyncio.to_thread(command.run, parsed(server.url, "--count", "3"), {}) == 0


async def test_each_hop_is_told_as_soon_as_it_is_examined() -> None:
    said: list[str] = []
    async with serving(HEAD + b"\r\n" + tick(1) + tick(2, 1) + tick(3, 2) + DONE) as server:
        ours = order(server.url, server.url, "--count", "3", "--interval", "0.25")

        hops, findings = await command.examined(ours, Paint(colour=False), said.append, io.StringIO())

    assert [hop.verdict.kind for hop in hops] == [Kind.STREAMING] * 2
    assert findings == [[], []]
    assert said[0] == "3 events, one every 0.25 s, through 2 hops: about 1.00 s\n"
    assert sum(line.startswith((" 1 ", " 2 ")) for line in said) == 2
    assert said[-1] == "Events pass all 2 hops one by one."


async def test_probes_are_made_behind_the_examination_and_decide_too() -> None:
    said: list[str] = []
    async with serving(HEAD + b"\r\n" + tick(1) + tick(2, 1) + tick(3, 2) + DONE) as server:
        ours = order(server.url, nowhere(), "--count", "3", "--interval", "0.25", "--reconnect")

        _, findings = await command.examined(ours, Paint(colour=False), said.append, io.StringIO())
        code = await asyncio.to_thread(command.run, parsed(server.url, "--count", "3", "--reconnect", "--json"), {})

    assert [[finding.ok for finding in found] for found in findings] == [[False], []]
    assert said[0].startswith("3 events, one every 0.25 s, through 2 hops, then reconnect: about 1.50 s")
    assert any(line.startswith("Probes of http://127.0.0.1") for line in said)
    assert code == 1


async def test_foreign_streams_are_compared() -> None:
    said: list[str] = []
    async with serving(HEAD + b"\r\ndata: {}\n\ndata: {}\n\ndata: [DONE]\n\n") as server:
        ours = order(server.url, server.url, "--url-is-stream", "--for", "90")

        await command.examined(ours, Paint(colour=False), said.append, io.StringIO())

    assert said[0] == "2 hops, each as it is, for 90.0 s at most\n"
    assert sum("first event" in line and "gap 95 %" in line for line in said) == 1
