"""What can be said to `llm-proxy doctor` on its command line. Imports nothing that costs time: every command's help needs it."""

from __future__ import annotations

import argparse
from typing import Final

_WHAT: Final = "the hops from the inside out: http://proxy:8080 http://caddy https://chat.example.com"
_EXAMPLES: Final = """\
exit code: 0 every event came through every hop one by one, 1 anything else, 2 wrong usage

  llm-proxy doctor http://127.0.0.1:8080 https://chat.example.com
  llm-proxy doctor --url-is-stream --data '{"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}' \\
      https://api.openai.com/v1/chat/completions https://chat.example.com/v1/chat/completions
"""


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the doctor's arguments to its *parser*."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    parser.add_argument("urls", metavar="URL", nargs="+", help=_WHAT)
    parser.add_argument("--key", help="the credential, as a bearer token (default: $LLM_PROXY_KEY)")
    parser.add_argument("--header", metavar="NAME:VALUE", action="append", default=[], help="one more header; may be repeated")
    parser.add_argument("--json", action="store_true", help="one JSON object, for machines")
    _add_course(parser)
    trust = parser.add_argument_group("TLS").add_mutually_exclusive_group()
    trust.add_argument("--cafile", metavar="FILE", help="certificates of authorities to trust, besides the system's")
    trust.add_argument("--insecure", action="store_true", help="trust every certificate")


def _add_course(parser: argparse.ArgumentParser) -> None:
    course = parser.add_argument_group("the stream")
    course.add_argument("--count", type=int, default=10, metavar="N", help="events, 3 to 1000 (default: %(default)s)")
    course.add_argument("--interval", type=float, default=0.5, metavar="S", help="seconds between two (default: %(default)s)")
    course.add_argument("--size", type=int, default=0, metavar="BYTES", help="padding of each event (default: %(default)s)")
    course.add_argument("--url-is-stream", action="store_true", help="ask each URL as it is: any event stream, a provider's too")
    course.add_argument("--data", metavar="JSON", help="with --url-is-stream: POST this body")
