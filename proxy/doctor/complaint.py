"""Reads what a server itself says of a request that it refuses: the message in the JSON of its error."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

import orjson

from proxy.doctor.wire import Answer, Unreachable

WITHIN: Final = 5.0  # seconds for the body
LARGEST: Final = 65536  # bytes of it


async def complaint(answer: Answer) -> str:
    """Return the message of *answer*; empty where it has none, or none in time."""
    try:
        async with asyncio.timeout(WITHIN):
            body = await answer.whole(LARGEST)
    except (TimeoutError, Unreachable):
        return ""
    return message(_plain(body, answer.headers.get("content-encoding", "").lower()))


def message(body: bytes) -> str:
    """Return the message of an error, wherever APIs put it."""
    try:
        value = orjson.loads(body)
    except ValueError:
        return ""
    match value:
        case {"error": {"message": str(text)}} | {"error": str(text)} | {"message": str(text)} | {"detail": str(text)}:
            return text.strip().removesuffix(".")
    return ""


def _plain(body: bytes, coding: str) -> bytes:
    if coding not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, LARGEST)
    except zlib.error:
        return b""
