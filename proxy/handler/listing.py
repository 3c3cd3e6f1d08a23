"""How a list of models reads: in the words of OpenAI, Anthropic or Google; each entry is an upstream's own where it fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

Entry = Mapping[str, Any]

_UNKNOWN: Final = "1970-01-01T00:00:00Z"  # what Anthropic itself says where a date is not known
_METHODS: Final = ("generateContent", "countTokens")
_RESOURCE: Final = "models/"  # how the names of Google's models begin, which have no other id


def id_of(entry: Entry) -> str | None:
    """Return by which name a listed model is asked for; None: the entry has none."""
    name = entry.get("name") if _is_google(entry) else entry.get("id")
    return name.removeprefix(_RESOURCE) if isinstance(name, str) else None


def openai_list(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return the whole list as OpenAI's clients know it."""
    return {"object": "list", "data": [openai_entry(entry) for entry in entries]}


def openai_entry(entry: Entry) -> Entry:
    """Return one model as OpenAI's clients know it; whatever else its upstream says of it stays."""
    if _is_google(entry):
        others = {key: value for key, value in entry.items() if key != "name"}
        return {**others, "id": id_of(entry), "object": "model", "created": 0, "owned_by": "google"}
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
    return {
        "type": "model",
        "id": id_of(entry),
        "display_name": _title(entry),
        "created_at": _instant(entry.get("created")),
    }


def gemini_list(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return the whole list as Google's clients know it, in one page."""
    return {"models": [gemini_entry(entry) for entry in entries]}


def gemini_entry(entry: Entry) -> Entry:
    """Return one model as Google's clients know it."""
    if _is_google(entry):
        return entry
    return {"name": f"{_RESOURCE}{id_of(entry)}", "displayName": _title(entry), "supportedGenerationMethods": list(_METHODS)}


def _is_google(entry: Entry) -> bool:
    name = entry.get("name")
    return "id" not in entry and isinstance(name, str) and name.startswith(_RESOURCE)


def _title(entry: Entry) -> Any:
    """Return what a model is called where people read it: Anthropic's word for that, Google's, OpenRouter's."""
    known = id_of(entry)
    titles = (entry.get("display_name"), entry.get("displayName"), None if _is_google(entry) else entry.get("name"))
    return next((title for title in titles if isinstance(title, str) and title), known)


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
