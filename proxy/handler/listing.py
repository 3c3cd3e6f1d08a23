"""How a list of models reads: in the words of OpenAI, or of Anthropic; each entry is an upstream's own where it fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

Entry = Mapping[str, Any]

_UNKNOWN: Final = "1970-01-01T00:00:00Z"  # what Anthropic itself says where a date is not known


def openai_list(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return the whole list as OpenAI's clients know it."""
    return {"object": "list", "data": [openai_entry(entry) for entry in entries]}


def openai_entry(entry: Entry) -> Entry:
    """Return one model as OpenAI's clients know it; whatever else its upstream says of it stays."""
    if entry.get("type") != "model":
        return entry
    others = {key: value for key, value in entry.items() if key not in ("type", "created_at")}
    return {**others, "object": "model", "created": _seconds(entry.get("created_at")), "owned_by": "anthropic"}


def anthropic_list(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return the whole list as Anthropic's clients know it, in one page."""
    data = [anthropic_entry(entry) for entry in entries]
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": data, "has_more": False, "first_id": ends[0], "last_id": ends[1]}


def anthropic_entry(entry: Entry) -> Entry:
    """Return one model as Anthropic's clients know it."""
    if entry.get("type") == "model":
        return entry
    name = entry.get("name")  # OpenRouter's word for it
    return {
        "type": "model",
        "id": entry["id"],
        "display_name": name if isinstance(name, str) and name else entry["id"],
        "created_at": _instant(entry.get("created")),
    }


def _seconds(instant: Any) -> int:
    """Return an RFC 3339 time as seconds since the epoch; 0 where it cannot be read."""
    try:
        return int(datetime.fromisoformat(instant).timestamp())
    except (TypeError, ValueError, OverflowError):
        return 0


def _instant(seconds: Any) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (TypeError, ValueError, OverflowError, OSError):
        return _UNKNOWN
