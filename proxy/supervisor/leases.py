"""Which worker may use how many of a subject's slots. The sum never exceeds the subject's limit, so no worker need ask about each request."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

Holder = TypeVar("Holder", bound=Hashable)

SHARES: Final = 16  # of a limit, so many pieces are handed out: few questions where there is room, little to take back where not


class Leases(Generic[Holder]):
    """The slots that are lent out, by subject and holder. Whoever ends gives back all that it had."""

    def __init__(self) -> None:
        self._lent: dict[str, dict[Holder, int]] = {}

    def __repr__(self) -> str:
        return f"<Leases subjects={len(self._lent)}>"

    def lend(self, holder: Holder, subject: str, limit: int) -> int:
        """Lend *holder* some more slots of *subject*, of which there are *limit*, and return how many: 0 when none is left."""
        lent = self._lent.get(subject, {})
        count = min(max(1, limit // SHARES), limit - sum(lent.values()))
        if count <= 0:
            return 0
        self._lent.setdefault(subject, lent)[holder] = lent.get(holder, 0) + count
        return count

    def give_back(self, holder: Holder, subject: str, count: int) -> None:
        """Take *count* slots back that *holder* does not use."""
        lent = self._lent.get(subject, {})
        left = lent.pop(holder, 0) - count
        if left > 0:
            lent[holder] = left
        elif not lent:
            self._lent.pop(subject, None)

    def holders(self, subject: str) -> tuple[Holder, ...]:
        """Return whoever holds slots of *subject*."""
        return tuple(self._lent.get(subject, ()))

    def forget(self, holder: Holder) -> None:
        """Take everything back from a *holder* that has ended."""
        for subject in [subject for subject, lent in self._lent.items() if holder in lent]:
            self.give_back(holder, subject, self._lent[subject][holder])
