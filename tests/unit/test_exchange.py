from __future__ import annotations

import ast
import inspect
import textwrap

import pytest

from proxy.exchange import GAP_BUCKETS, Attempt, Exchange, Outcome, Phase, Usage

START = 100.0


def exchange(request_id: str = "r1") -> Exchange:
    return Exchange(request_id, START, 1_700_000_000.0)


def counted(of: Exchange) -> dict[float, int]:
    """The buckets that hold something, by their upper bound."""
    bounds = (*GAP_BUCKETS, float("inf"))
    return {bounds[index]: count for index, count in enumerate(of.progress.gaps or ()) if count}


def test_an_exchange_begins_without_a_result() -> None:
    new = exchange()

    assert (new.request_id, new.started, new.wall) == ("r1", START, 1_700_000_000.0)
    assert (new.attempts, new.retries) == ([], [])
    assert (new.outcome, new.ended, new.status, new.code) == (None, None, 0, "")
    assert (new.progress.first_token, new.progress.gaps, new.progress.longest_gap) == (None, None, 0.0)
    assert new.phase is Phase.REQUEST


def test_what_one_exchange_counts_another_does_not_see() -> None:
    one, other = exchange(), exchange("r2")

    one.attempts.append(Attempt("a", "gpt", START))
    one.retries.append(("a", "reset"))
    one.progress.chunks += 1
    one.progress.content(101)
    one.progress.content(102)
    one.close(Outcome.COMPLETED, 103)

    assert (other.attempts, other.retries, other.outcome, other.ended) == ([], [], None, None)
    unmoved = other.progress
    assert (unmoved.chunks, unmoved.gaps, unmoved.gap_sum, unmoved.first_token) == (0, None, 0.0, None)


def test_no_default_on_the_class_can_be_changed_in_place() -> None:
    """Every exchange shares them."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(Exchange))).body
    assert isinstance(body, ast.ClassDef)
    names = [node.target.id for node in body.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    mutable = [name for name in names if not isinstance(getattr(Exchange, name), str | int | float | None | Phase)]

    assert len(names) > 25
    assert mutable == []


@pytest.mark.parametrize("kept", [Attempt("a", "m", 1.0), Usage()], ids=["attempt", "usage"])
def test_a_part_of_the_record_takes_no_field_that_it_does_not_have(kept: object) -> None:
    with pytest.raises(AttributeError):
        kept.surprise = 1  # type: ignore[attr-defined]


def test_the_first_content_is_the_first_token_and_no_gap() -> None:
    new = exchange()

    new.progress.content(101.5)

    assert (new.progress.first_token, new.progress.last_content) == (101.5, 101.5)
    assert (new.progress.gaps, new.progress.gap_sum, new.progress.longest_gap) == (None, 0.0, 0.0)


def test_later_content_is_one_more_gap_and_leaves_the_first_token_alone() -> None:
    new = exchange()

    for now in (100.5, 101.0, 101.25):
        new.progress.content(now)

    assert (new.progress.first_token, new.progress.last_content) == (100.5, 101.25)
    assert new.progress.gap_sum == 0.75
    assert counted(new) == {0.5: 1, 0.25: 1}


def test_content_is_counted_from_the_first_on() -> None:
    new, seen = exchange(), []

    for now in (100.5, 101.0, 101.25):
        seen.append(new.progress.contents)
        new.progress.content(now)

    assert [*seen, new.progress.contents] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("gap", "bucket"),
    [
        (0.0, 0.005),
        (0.00390625, 0.005),
        (0.0078125, 0.01),
        (0.25, 0.25),  # a bound belongs to its own bucket, as in Prometheus
        (0.251953125, 0.5),
        (1.0, 1),
        (1.5, 2.5),
        (300.0, 300),
        (301.0, float("inf")),
    ],
)
def test_a_gap_is_counted_in_the_smallest_bucket_that_holds_it(gap: float, bucket: float) -> None:
    new = exchange()
    new.progress.content(START)

    new.progress.content(START + gap)

    assert counted(new) == {bucket: 1}
    assert len(new.progress.gaps or ()) == len(GAP_BUCKETS) + 1


@pytest.mark.parametrize(
    ("times", "longest"),
    [
        ((100,), 0.0),
        ((100, 101), 1.0),
        ((100, 103, 104), 3.0),
        ((100, 101, 104), 3.0),
        ((100, 102, 102, 103), 2.0),
        ((100, 100), 0.0),
    ],
)
def test_the_longest_gap_is_kept(times: tuple[float, ...], longest: float) -> None:
    new = exchange()

    for now in times:
        new.progress.content(now)

    assert new.progress.longest_gap == longest


def test_the_buckets_are_those_of_the_published_histogram() -> None:
    assert GAP_BUCKETS == (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)


def test_the_first_outcome_stays() -> None:
    new = exchange()

    first = new.close(Outcome.CLIENT_GONE, 101)
    second = new.close(Outcome.COMPLETED, 102)

    assert (first, second) == (True, False)
    assert (new.outcome, new.ended) == (Outcome.CLIENT_GONE, 101)


def test_a_repr_says_which_request_and_how_far_it_is() -> None:
    new = exchange()
    new.route, new.phase = "chat", Phase.BACKOFF
    running = repr(new)

    new.close(Outcome.COMPLETED, 101)

    assert running == "<Exchange r1 chat backoff>"
    assert repr(new) == "<Exchange r1 chat completed>"


def test_a_repr_holds_nothing_that_a_client_wrote() -> None:
    new = exchange()
    new.model_requested = new.subject = new.detail = "sk-secret"

    assert "sk-secret" not in repr(new)


def test_bytes_sent_are_counted_with_their_chunks() -> None:
    it = exchange()

    it.progress.count(b"abc")
    it.progress.count(b"")

    assert (it.progress.chunks, it.progress.bytes_out) == (1, 3)
