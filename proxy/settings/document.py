"""A configuration before it is checked: plain values, and for each the place where it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from proxy.settings.consistency import Loc
from proxy.settings.problems import Problem


@dataclass(slots=True)
class Document:
    """Raw values with their origins. Scalars are texts, as the settings' fields read them; only `null` is None."""

    source: str
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Loc, str] = field(default_factory=dict)  # of values
    keys: dict[Loc, str] = field(default_factory=dict)  # of the keys in front of them
    broken: dict[Loc, Problem] = field(default_factory=dict)  # values that could not be read at all
    strays: list[Problem] = field(default_factory=list)  # whatever else is wrong

    def where(self, path: Loc) -> str:
        """Return the place of the value at *path*, or of the nearest section around it."""
        around = (path[:length] for length in range(len(path), -1, -1))
        return next((self.places[each] for each in around if each in self.places), self.source)

    def breaks(self, path: Loc, message: str) -> None:
        """Note that the value at *path* cannot be read; what follows from that is not reported again."""
        self.broken[path] = Problem(self.where(path), dotted(path), message)

    def overshadowed(self, path: Loc) -> bool:
        """Tell whether a complaint about *path* may only be the echo of a value that could not be read."""
        return any(path[: len(each)] == each[: len(path)] for each in self.broken)

    def put(self, path: Loc, value: Any, place: str) -> None:
        """Set the value at *path*, sections on the way included; it takes the place of a secret's other spelling."""
        section: Any = self.data
        for key in path[:-1]:
            section = _entered(section, key)
        *parents, name = path
        twin = str(name).removesuffix("_file") if str(name).endswith("_file") else f"{name}_file"
        if isinstance(section, dict):
            section.pop(twin, None)
            self.broken.pop((*parents, twin), None)
        section[name] = value
        self.places[path] = place
        self.broken.pop(path, None)

    def mappings(self) -> Iterator[tuple[Loc, dict[str, Any]]]:
        """Yield every mapping with its path, the outermost first."""
        waiting: list[tuple[Loc, Any]] = [((), self.data)]
        while waiting:
            path, value = waiting.pop()
            if isinstance(value, dict):
                yield path, value
                waiting += [((*path, key), each) for key, each in value.items()]
            elif isinstance(value, list):
                waiting += [((*path, index), each) for index, each in enumerate(value)]


def dotted(path: Loc) -> str:
    """Write *path* the way people do."""
    return ".".join(map(str, path))


def _entered(section: Any, key: str | int) -> Any:
    """Return the section at *key*, made where there is none."""
    present = section.get(key) if isinstance(section, dict) else section[key]
    if not isinstance(present, dict | list):
        section[key] = present = {}
    return present
