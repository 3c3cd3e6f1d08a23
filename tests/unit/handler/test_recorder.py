"""One place, once per request: the metrics and the access log."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.access_log import AccessLog
from proxy.exchange import Outcome
from proxy.handler.recorder import Recorder
from proxy.logs import LineWriter
from proxy.metrics import Metrics
from tests.support.exchanges import exchange_with


class Books:
    """A recorder with real metrics and a real access log."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._writer = LineWriter(fd)
        self.metrics = Metrics()
        self.recorder = Recorder(self.metrics, AccessLog(self._writer, "json"))

    def lines(self) -> list[dict[str, Any]]:
        """Return what was logged. Nothing can be logged any more."""
        self._writer.start()
        self._writer.stop()
        return [json.loads(line) for line in os.pread(self._fd, 1 << 16, 0).splitlines()]

    def counted(self, **labels: str) -> float | None:
        """Return how many requests were counted with exactly one set of labels that holds these."""
        found = [
            sample.value
            for metric in self.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "llm_proxy_requests_total" and labels.items() <= sample.labels.items()
        ]
        assert len(found) < 2
        return found[0] if found else None


@pytest.fixture
def books(tmp_path: Any) -> Iterator[Books]:
    with (tmp_path / "log").open("w+b") as file:
        yield Books(file.fileno())


def test_closed_exchange_is_counted_and_logged_with_the_same_word(books: Books) -> None:
    exchange = exchange_with("r1", 1.0, 2.0, route="chat", status=200)
    exchange.close(Outcome.CLIENT_GONE, 3.0)

    books.recorder.record(exchange)

    assert books.counted(route="chat", status="200", outcome="client_gone") == 1
    [line] = books.lines()
    assert (line["id"], line["outcome"], line["status"]) == ("r1", "client_gone", 200)


def test_exchange_without_an_outcome_is_refused_and_leaves_no_trace(books: Books) -> None:
    with pytest.raises(ValueError, match="not been closed"):
        books.recorder.record(exchange_with("r1", 1.0, 2.0))

    assert books.counted() is None
    assert books.lines() == []
