"""A conversation in no API's terms: what was asked, which tool calls were answered, and what of it a cache holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Span:
    """Some tokens of a request. A *ttl* marks the end of a part that is to be cached for so long."""

    tokens: int
    ttl: str | None = None


@dataclass(frozen=True, slots=True)
class TokensIn:
    """The tokens of a request, by what a cache had to do with them; `written` by time to live."""

    fresh: int
    read: int = 0
    written: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return self.fresh + self.read + sum(self.written.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message. `calls` and `results` are the ids of the tool calls that are made and answered in it."""

    by_model: bool
    text: str  # all of it
    question: str = ""  # what a person says in it
    spans: tuple[Span, ...] = ()
    calls: frozenset[str] = frozenset()
    results: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Conversation:
    """All messages of a request, at least one, and what comes before them: tools and system prompt."""

    messages: Sequence[Said]
    before: Sequence[Span] = ()

    @property
    def last(self) -> str:
        """The text of the last message."""
        return self.messages[-1].text

    @property
    def question(self) -> str:
        """The last thing that a person said."""
        return next((one.question for one in reversed(self.messages) if one.question), self.last)

    @property
    def after_tool(self) -> bool:
        """Whether the last message brings the results of tools."""
        return bool(self.messages[-1].results)

    def tokens(self) -> TokensIn:
        """Count the tokens. What stands before the model's last message was sent before, so a cache knows it already.

        The real APIs cache no prompt below a thousand tokens or so; here every one is long enough.
        """
        answered = max((index for index, one in enumerate(self.messages) if one.by_model), default=None)
        spans = [*self.before, *(span for one in self.messages for span in one.spans)]
        if answered is None:
            return _counted(spans, known=0)
        return _counted(spans, known=len(self.before) + sum(len(one.spans) for one in self.messages[:answered]))

    def orphan(self) -> int | None:
        """Return the index of the first message with the result of a call that the turn before it did not make."""
        for made, turn in self._turns():
            for index, one in turn:
                if one.results - made:
                    return index
        return None

    def unanswered(self) -> int | None:
        """Return the index of the last message of the first turn whose calls are not all answered by the turn after it."""
        for made, turn in self._turns():
            if made.difference(*(one.results for _, one in turn)):
                return turn[0][0] - 1
        return len(self.messages) - 1 if self.messages[-1].calls else None

    def _turns(self) -> Iterator[tuple[frozenset[str], list[tuple[int, Said]]]]:
        """Return each turn, messages of one side in a row, with the calls that the turn before it made."""
        made: frozenset[str] = frozenset()
        for _, turn in groupby(enumerate(self.messages), key=lambda one: one[1].by_model):
            messages = list(turn)
            yield made, messages
            made = frozenset[str]().union(*(one.calls for _, one in messages))


def _counted(spans: Sequence[Span], *, known: int) -> TokensIn:
    """Walk backwards: a span is cached for as long as the next mark at or after it says."""
    fresh = read = 0
    written: dict[str, int] = {}
    ttl: str | None = None
    for index, span in reversed(list(enumerate(spans))):
        ttl = span.ttl or ttl
        if ttl is None:
            fresh += span.tokens
        elif index < known:
            read += span.tokens
        else:
            written[ttl] = written.get(ttl, 0) + span.tokens
    return TokensIn(fresh, read, written)
