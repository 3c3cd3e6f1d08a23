"""Measures the proxy beside nginx and beside no proxy at all, on the same work in one run, and prints the figures.

CPU is the time that the measured process tree was on a core, read from the scheduler. What is measured has one core, the load
generator and the fake backend share another. `calibrated` divides that CPU by what these two tools used for the same work, which
takes out most of what a busy or throttled machine does to both; it is the ratio to quote.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import machine
from machine import BenchError, SpoiledRun

UPSTREAM_PORT: Final = 19000
ADMIN_PORT: Final = 18090  # as in proxy.yaml
PORTS: Final = {"direct": UPSTREAM_PORT, "nginx": 18081, "proxy": 18080, "workers": 18080}
WORKERS: Final = 2
KEEPALIVE_SECONDS: Final = 2.0  # as in proxy.yaml

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of work: what load.c is told to do, and which columns its figures fill."""

    about: str
    load: str
    columns: tuple[str, ...]
    credential: str = "key"
    path: str = "/v1/chat/completions"
    model: str = ""  # what stands before the part of its name that tells the backend what to answer
    targets: tuple[str, ...] = ("direct", "nginx", "proxy")
    files: int = 4096
    shared: str = ""  # the load for several workers, so much that each has what one alone has; then nobody has a core to itself
    with_tools: bool = False  # the tools are on the same cores as what is measured, and no others: one for each worker

    def for_target(self, target: str) -> Scenario:
        """Return what *target* is measured with."""
        return replace(self, load=self.shared) if target == "workers" else self

    @property
    def streams(self) -> int:
        """How many streams stay open at once."""
        groups = [part for flag, part in zip(self.load.split(), self.load.split()[1:], strict=False) if flag == "--open"]
        return sum(int(group.split(":")[0]) for group in groups)


CHUNKS: Final = ("µs/chunk", "× nginx", "calibrated", "added p50 ms", "added p99 ms", "chunks/read", "busy %")
REQUESTS: Final = ("µs/request", "× nginx", "calibrated", "p50 ms", "p99 ms", "requests/s", "busy %")
SHARED: Final = ("× one", "busy %")
SCALED: Final = ("requests/s", "× one's", "µs/request", "busy %")
IDLE: Final = ("KiB/stream", "keepalives", "early ms", "late ms")

_PACED: Final = "--open 300:300:20000 --ramp 1 --window 4"
SCENARIOS: Final = {
    "stream-1000": Scenario("1,000 streams of 50 chunks/s each", "--open 1000:300:20000 --ramp 1 --window 4", CHUNKS),
    "stream-100": Scenario("100 streams of 50 chunks/s each", "--open 100:300:20000 --ramp 1 --window 4", CHUNKS),
    "json": Scenario("plain requests, 64 at once, API key", "--loop 64:0:0 --warm 1 --window 3", REQUESTS),
    "json-jwt": Scenario(
        "plain requests, 64 at once, HS256 token", "--loop 64:0:0 --warm 1 --window 3", REQUESTS, credential="jwt"
    ),
    "first-token": Scenario(
        "100 short streams a second, one at a time", "--loop 1:2:10000 --window 4", ("first p50 ms", "first p99 ms")
    ),
    "openai-300": Scenario("300 streams, OpenAI passed on", _PACED, CHUNKS),
    "anthropic-300": Scenario("300 streams, Anthropic passed on", _PACED, CHUNKS, path="/v1/messages", model="claude-"),
    "gemini-300": Scenario(
        "300 streams, Gemini passed on",
        _PACED,
        CHUNKS,
        path="/v1beta/models/gemini-bench:streamGenerateContent?alt=sse",
        model="gemini-",
    ),
    "translated-300": Scenario("300 streams, OpenAI's clients on Anthropic's API", _PACED, CHUNKS, model="claude-"),
    "idle-5000": Scenario(
        "5,000 silent streams",
        "--open 5000:2:120000000 --ramp 6 --warm 2.5 --window 8 --leave",
        IDLE,
        targets=("nginx", "proxy"),
        files=16384,
    ),
    "busy-500": Scenario(
        "500 streams of 50 chunks/s each, alone",
        "--open 500:1000:20000 --ramp 6 --warm 2.5 --window 8 --leave",
        CHUNKS,
        targets=("nginx", "proxy"),
    ),
    "idle-5000-busy-500": Scenario(
        "the same 500 beside 5,000 silent ones",
        "--open 500:1000:20000 --open 5000:2:120000000 --ramp 6 --warm 2.5 --window 8 --leave",
        (*CHUNKS, *IDLE[1:]),
        targets=("nginx", "proxy"),
        files=16384,
    ),
    "workers-json": Scenario(
        "plain requests, 64 at once for each of one and two workers, tools and all on as many cores",
        "--loop 64:0:0 --warm 1 --window 3",
        SCALED,
        targets=("proxy", "workers"),
        shared="--loop 128:0:0 --warm 1 --window 3",
        with_tools=True,
    ),
    "workers-stream": Scenario(
        "200 streams of 50 chunks/s each for each of one and two workers",
        "--open 200:300:20000 --ramp 1 --window 4",
        ("µs/chunk", *SHARED),
        targets=("proxy", "workers"),
        shared="--open 400:300:20000 --ramp 1 --window 4",
    ),
}

THROUGHPUT: Final = 1.8  # of two workers on two cores, against one on one

# What the project wants of itself: scenario, column, limit. More, which compare two rows, are in goals().
GOALS: Final = (
    ("stream-1000", "calibrated", 1.35),
    ("stream-1000", "added p50 ms", 0.4),
    ("stream-1000", "added p99 ms", 4.0),
    ("stream-1000", "chunks/read", 1.01),
    ("stream-100", "added p50 ms", 0.25),
    ("json", "× nginx", 8.0),
    ("json-jwt", "× nginx", 10.0),
    ("idle-5000", "KiB/stream", 32.0),
    ("idle-5000", "early ms", 250.0),
    ("idle-5000", "late ms", 250.0),
    ("idle-5000-busy-500", "early ms", 250.0),
    ("idle-5000-busy-500", "late ms", 250.0),
)


@dataclass(slots=True)
class Sample:
    """One run of one scenario through one target."""

    load: dict[str, Any]
    cpu: float  # of the target
    tools: float  # CPU of load and upstream
    grown_kib: int
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credentials:
    """One API key and one token, made for this run."""

    key: str
    secret: str

    @classmethod
    def fresh(cls) -> Credentials:
        return cls(key="bench-" + secrets.token_urlsafe(24), secret=secrets.token_urlsafe(32))

    def environment(self) -> dict[str, str]:
        return {"BENCH_KEY_SHA256": hashlib.sha256(self.key.encode()).hexdigest(), "BENCH_JWT_SECRET": self.secret}

    def header(self, kind: str) -> str:
        return f"Authorization: Bearer {self.key if kind == 'key' else self.token()}"

    def token(self) -> str:
        claims = {"iss": "bench", "aud": "llm-proxy", "sub": "bench", "iat": int(time.time()), "exp": int(time.time()) + 3600}
        parts = [base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
        signed = ".".join(parts)
        return signed + "." + base64url(hmac.digest(self.secret.encode(), signed.encode(), "sha256"))


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Places:
    """The cores of everything that runs, as `taskset` takes them."""

    measured: str
    backend: str
    load: str

    @classmethod
    def of(cls, scenario: Scenario, target: str) -> Places:
        """Return them for one measurement."""
        first, second = map(str, machine.cores())
        both = f"{first},{second}"
        if scenario.with_tools:
            place = both if target == "workers" else first
            return cls(place, place, place)
        return cls(both if scenario.shared else first, first if target == "direct" else second, second)


class Bench:
    """Runs scenarios through targets. Every measurement has fresh processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._credentials = Credentials.fresh()
        self._upstream = machine.compile_tool("upstream")
        self._load = machine.compile_tool("load")

    def measure(self, name: str, target: str) -> Sample:
        scenario, log = SCENARIOS[name].for_target(target), self._folder / f"{name}-{target}.log"
        places = Places.of(scenario, target)
        upstream = [str(self._upstream), str(UPSTREAM_PORT)]
        with machine.running(upstream, cores=places.backend, port=UPSTREAM_PORT, log=log) as backend:
            if target == "direct":
                return self._drive(scenario, target, places, [backend, backend])
            command, env = self._command(target), self._credentials.environment()
            with machine.running(command, cores=places.measured, port=PORTS[target], log=log, env=env) as process:
                if target == "workers":  # the port accepts as soon as the first of them listens
                    machine.wait_until_says_ready(ADMIN_PORT)
                return self._drive(scenario, target, places, [process, backend])

    def _command(self, target: str) -> list[str]:
        if target == "proxy":
            return machine.proxy_command()
        if target == "workers":
            return [*machine.proxy_command(), "--workers", str(WORKERS)]
        return [machine.find("nginx"), "-p", str(self._folder), "-c", str(machine.ROOT / "bench" / "nginx.conf")]

    def _drive(self, scenario: Scenario, target: str, places: Places, processes: list[int]) -> Sample:
        """Run the load generator and read the cost of what is measured and of the backend where its measuring begins and ends."""
        process, backend = processes
        command = ["taskset", "-c", places.load, str(self._load), "--port", str(PORTS[target]), *scenario.load.split()]
        command += ["--path", scenario.path, "--model", scenario.model]
        command += ["--header", self._credentials.header(scenario.credential)]
        before = machine.resident_kib(process)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
            assert load.stdin is not None
            assert load.stdout is not None
            pids = [process, load.pid, backend]
            expect(load.stdout.readline(), "window")
            begun = [machine.cpu_seconds(pid) for pid in pids]
            expect(load.stdout.readline(), "done")
            used = [machine.cpu_seconds(pid) - was for pid, was in zip(pids, begun, strict=True)]
            grown = machine.resident_kib(process) - before
            load.stdin.close()
            result = json.loads(load.stdout.readline())
        complain(scenario, result)
        sample = Sample(result, cpu=used[0], tools=used[1] + used[2], grown_kib=grown)
        sample.figures = figures(scenario, sample)
        return sample


def expect(line: str, word: str) -> None:
    if line.strip() != word:
        raise SpoiledRun("the load generator ended early")


def complain(scenario: Scenario, result: dict[str, Any]) -> None:
    """A run with a single error counts for nothing."""
    if result["errors"] or result["unfinished"]:
        raise SpoiledRun(f"{result['errors']} errors, {result['unfinished']} unfinished; the first: {result['error'] or 'none'}")
    if result["open"] < scenario.streams:
        raise SpoiledRun(f"only {result['open']} of {scenario.streams} streams were open")


def figures(scenario: Scenario, sample: Sample) -> Figures:
    load = sample.load
    found: Figures = {
        "µs/chunk": per(sample.cpu, load["chunks"]),
        "µs/request": per(sample.cpu, load["requests"]),
        "tools": sample.cpu / sample.tools,
        "busy %": 100 * sample.cpu / load["seconds"],
        "chunks/read": load["chunks"] / load["reads"] if load["reads"] else 0.0,
        "requests/s": load["requests"] / load["seconds"],
        "KiB/stream": sample.grown_kib / scenario.streams if scenario.streams else 0.0,
    }
    for name, key in (("added", "added_us"), ("first", "first_us"), ("", "request_us")):
        if load[key]["n"]:
            found |= {f"{name} {part} ms".lstrip(): load[key][part] / 1000 for part in ("p50", "p99")}
    keepalives = load["keepalive_us"]
    if keepalives["n"]:
        latest = max(keepalives["max"], load["longest_silence_us"])
        found |= {
            "keepalives": keepalives["n"],
            "early ms": max(0.0, KEEPALIVE_SECONDS * 1000 - keepalives["min"] / 1000),
            "late ms": max(0.0, latest / 1000 - KEEPALIVE_SECONDS * 1000),
        }
    return found


def per(seconds: float, count: int) -> float:
    return seconds * 1e6 / count if count else 0.0


def add_ratios(name: str, samples: dict[str, Sample]) -> None:
    """Compare the targets of one run with that run's own nginx, and several workers with one."""
    unit = SCENARIOS[name].columns[0]
    if {"proxy", "workers"} <= samples.keys():
        ratio = samples["workers"].figures[unit] / samples["proxy"].figures[unit]
        samples["workers"].figures["× one's" if SCENARIOS[name].with_tools else "× one"] = ratio
    if "nginx" not in samples or "× nginx" not in SCENARIOS[name].columns:
        return
    nginx = samples["nginx"].figures
    for target, sample in samples.items():
        sample.figures["× nginx"] = sample.figures[unit] / nginx[unit]
        if target != "direct":  # where the backend is itself one of the tools
            sample.figures["calibrated"] = sample.figures["tools"] / nginx["tools"]


def medians(runs: Sequence[Sample]) -> Figures:
    names = set[str]().union(*(run.figures for run in runs))
    return {name: statistics.median([run.figures[name] for run in runs if name in run.figures]) for name in names}


def table(name: str, rows: dict[str, Figures]) -> str:
    scenario = SCENARIOS[name]
    lines = [f"\n{name}: {scenario.about}", " " * 8 + "".join(f"{column:>14}" for column in scenario.columns)]
    for target, row in rows.items():
        cells = (f"{row[column]:14.2f}" if column in row else f"{'·':>14}" for column in scenario.columns)
        lines.append(f"{target:8}" + "".join(cells))
    return "\n".join(lines)


def goals(results: dict[str, dict[str, Figures]]) -> str:
    lines = ["\ngoals"]

    def judge(name: str, what: str, value: float, limit: float) -> None:
        lines.append(f"  {'met   ' if value <= limit else 'MISSED'}  {name}: {what} {value:.2f}, at most {limit:.2f}")

    for name, column, limit in GOALS:
        if column in results.get(name, {}).get("proxy", {}):
            judge(name, column, results[name]["proxy"][column], limit)
    if {"direct", "proxy"} <= results.get("first-token", {}).keys():
        rows = results["first-token"]
        judge("first-token", "ms added to the first token", rows["proxy"]["first p50 ms"] - rows["direct"]["first p50 ms"], 1.0)
    pair = [results.get(name, {}).get("proxy", {}).get("added p99 ms") for name in ("busy-500", "idle-5000-busy-500")]
    if pair[0] and pair[1]:
        judge("idle-5000-busy-500", "× the added p99 of busy-500", pair[1] / pair[0], 2.0)
    passed_on = results.get("openai-300", {}).get("proxy", {}).get("µs/chunk")
    for name, limit in (("anthropic-300", 1.15), ("gemini-300", 1.15), ("translated-300", 4.0)):
        cost = results.get(name, {}).get("proxy", {}).get("µs/chunk")
        if passed_on and cost:
            judge(name, "× a chunk of openai-300", cost / passed_on, limit)
    cost = results.get("workers-stream", {}).get("workers", {}).get("× one")
    if cost:
        judge("workers-stream", "× the cost with one worker", cost, WORKERS / THROUGHPUT)
    gain = results.get("workers-json", {}).get("workers", {}).get("× one's")
    if gain:
        met = "met   " if gain >= THROUGHPUT else "MISSED"
        lines.append(f"  {met}  workers-json: × the throughput of one worker {gain:.2f}, at least {THROUGHPUT:.2f}")
    return "\n".join(lines)


def run_all(names: Sequence[str], targets: Sequence[str], runs: int, say: Callable[[str], None]) -> dict[str, dict[str, Figures]]:
    """Measure everything *runs* times, the targets of a scenario one after another; medians by scenario and target."""
    kept: dict[tuple[str, str], list[Sample]] = {}
    with tempfile.TemporaryDirectory(prefix="llm-proxy-bench-") as folder:
        bench = Bench(Path(folder))
        for number in range(1, runs + 1):
            for name in names:
                samples: dict[str, Sample] = {}
                for target in (one for one in SCENARIOS[name].targets if one in targets):
                    say(f"run {number} of {runs}: {name} {target}")
                    try:
                        samples[target] = bench.measure(name, target)
                    except SpoiledRun as error:
                        say(f"! left out: {error}")
                add_ratios(name, samples)
                for target, sample in samples.items():
                    kept.setdefault((name, target), []).append(sample)
    return {name: {t: medians(kept[name, t]) for t in SCENARIOS[name].targets if (name, t) in kept} for name in names}


def arguments() -> argparse.Namespace:
    listing = "\n".join(f"  {name:20}{scenario.about}" for name, scenario in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"scenarios:\n{listing}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--without-proxy", action="store_true", help="measure only the yardsticks")
    parser.add_argument("--json", type=Path, help="write the medians there too")
    chosen = parser.parse_args()
    if unknown := set(chosen.scenarios) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    return chosen


def main() -> int:
    chosen = arguments()
    names = chosen.scenarios or list(SCENARIOS)
    allowed = machine.raise_file_limit()
    for name in [name for name in names if SCENARIOS[name].files > allowed]:
        print(f"left out {name}: it needs {SCENARIOS[name].files} open files, the limit here is {allowed}", file=sys.stderr)
        names = [other for other in names if other != name]
    targets = [target for target in PORTS if target not in ("proxy", "workers") or not chosen.without_proxy]
    try:
        results = run_all(names, targets, chosen.runs, lambda line: print(line, file=sys.stderr, flush=True))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(f"{machine.describe()}\nfigures   medians of {chosen.runs}")
    for name in names:
        print(table(name, results[name]))
    if not chosen.without_proxy:
        print(goals(results))
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
