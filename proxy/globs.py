"""Decides whether a name matches a pattern in which `*` stands for any run of characters."""

from __future__ import annotations


def is_literal(pattern: str) -> bool:
    """Tell whether *pattern* can match one name only."""
    return "*" not in pattern


class Glob:
    """A pattern made ready for matching: exact case, whole name, `*` also stands for nothing.

    The cost grows with the length of the name times the length of the pattern at worst; no input makes it backtrack.
    """

    __slots__ = ("_head", "_inner", "_literal", "_shortest", "_tail", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._literal = is_literal(pattern)
        parts = pattern.split("*")
        self._head, self._tail = parts[0], parts[-1]
        self._inner = tuple(part for part in parts[1:-1] if part)
        self._shortest = len(self._head) + len(self._tail)

    def __repr__(self) -> str:
        return f"Glob({self.pattern!r})"

    def matches(self, name: str) -> bool:
        """Tell whether the whole of *name* fits the pattern."""
        if self._literal:
            return name == self.pattern
        if len(name) < self._shortest or not name.startswith(self._head) or not name.endswith(self._tail):
            return False
        at, end = len(self._head), len(name) - len(self._tail)
        for part in self._inner:
            at = name.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True
