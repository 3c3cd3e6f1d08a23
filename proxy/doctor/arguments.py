"""What can be said to `llm-proxy doctor` on its command line. Imports nothing that costs time: every command's help needs it."""

from __future__ import annotations

import argparse
from typing import Final

_WHAT: Final = "the hops from the inside out: http://proxy:8080 http://caddy https://chat.example.com"
LISTED: Final = {
    "idle": (15.0, 35.0, 65.0, 125.0, 305.0),  # seconds, each a little above a limit that is common
    "bodies": (2.0, 12.0, 30.0),  # MiB: a photograph, several, and nearly all that the proxy takes
    "headers": (4.0, 7.0, 15.0),  # KiB: long tokens, and nearly all that the proxy takes
}
_LISTED: Final = (
    ("idle", "seconds", "how long a connection may be silent, with keepalives and without"),
    ("bodies", "MiB", "how large a request body may be"),
    ("headers", "KiB", "how long a header may be"),
)
_PLAIN: Final = (
    ("disconnect", "does the proxy notice that a client has left, and when"),
    ("compression", "does a client that accepts compression get each event at once"),
    ("post", "does a stream come as the answer to a POST"),
    ("reconnect", "can an EventSource take up where it was"),
    ("websocket", "is a request to switch to WebSocket declined cleanly"),
    ("clock", "do the clocks agree, and is the token valid"),
)
_EXAMPLES: Final = """\
exit code: 0 every event came through every hop one by one, 1 anything else, 2 wrong usage

  llm-proxy doctor http://127.0.0.1:8080 https://chat.example.com
  llm-proxy doctor https://chat.example.com --disconnect --compression --idle 15,65
  llm-proxy doctor --url-is-stream --data '{"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}' \\
      https://api.openai.com/v1/chat/completions https://chat.example.com/v1/chat/completions
"""


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the doctor's arguments to its *parser*."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.usage = "%(prog)s URL [URL ...] [options]"  # argparse's own takes eight lines in front of each error
    parser.epilog = _EXAMPLES
    parser.add_argument("urls", metavar="URL", nargs="+", help=_WHAT)
    parser.add_argument(
        "--key", help="the credential, as a bearer token (default: $LLM_PROXY_KEY, which no list of processes shows)"
    )
    parser.add_argument("--header", metavar="NAME:VALUE", action="append", default=[], help="one more header; may be repeated")
    parser.add_argument("--json", action="store_true", help="one JSON object, for machines")
    _add_course(parser)
    _add_probes(parser)
    trust = parser.add_argument_group("TLS").add_mutually_exclusive_group()
    trust.add_argument("--cafile", metavar="FILE", help="certificates of authorities to trust, besides the system's")
    trust.add_argument("--insecure", action="store_true", help="trust every certificate")


def _add_course(parser: argparse.ArgumentParser) -> None:
    course = parser.add_argument_group("the stream")
    course.add_argument("--count", type=int, default=10, metavar="N", help="events, 3 to 1000 (default: %(default)s)")
    course.add_argument("--interval", type=float, default=0.5, metavar="S", help="seconds between two (default: %(default)s)")
    course.add_argument("--size", type=int, default=0, metavar="BYTES", help="padding of each event (default: %(default)s)")
    course.add_argument(
        "--format", choices=("sse", "ndjson"), default="sse", help="how events are written (default: %(default)s)"
    )
    course.add_argument("--url-is-stream", action="store_true", help="ask each URL as it is: any event stream, a provider's too")
    course.add_argument("--data", metavar="JSON", help="with --url-is-stream: POST this body")
    course.add_argument(
        "--for",
        type=float,
        default=60.0,
        metavar="S",
        dest="longest",
        help="with --url-is-stream: listen so long at most (default: 60)",
    )


def _add_probes(parser: argparse.ArgumentParser) -> None:
    probes = parser.add_argument_group("further probes")
    for name, unit, purpose in _LISTED:
        words = f"{purpose} ({unit}; default: {','.join(f'{number:g}' for number in LISTED[name])})"
        probes.add_argument(f"--{name}", type=_numbers, nargs="?", const=LISTED[name], metavar="N,N", help=words)
    for name, purpose in _PLAIN:
        probes.add_argument(f"--{name}", action="store_true", help=purpose)
    probes.add_argument("--all", action="store_true", help="all of them: five minutes, for the longest silence")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as exc:
        raise argparse.ArgumentTypeError("that is no list of numbers such as 1,2; write URLs before the flags") from exc
    if not all(0 < value <= 600 for value in values):
        raise argparse.ArgumentTypeError("each number must be above 0, and 600 at most")
    return values
