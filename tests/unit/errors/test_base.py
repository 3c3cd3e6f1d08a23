from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from proxy import errors as errors_module
from proxy.errors import (
    BadRequest,
    Denied,
    Draining,
    Expired,
    InternalError,
    Kind,
    LimitError,
    ProxyError,
    RequestError,
    Retry,
    TooManyStreams,
    Untranslatable,
    UpstreamConnectFailed,
    UpstreamError,
    UpstreamWayRefused,
)
from proxy.exchange import Outcome

BRANCHES = {ProxyError, RequestError, Denied, LimitError, UpstreamError}
SHARED = {
    "invalid_request": {RequestError, BadRequest, Denied},
    "internal_error": {ProxyError, InternalError},
    "upstream_connect_failed": {UpstreamConnectFailed, UpstreamWayRefused},
}
KINDS = {
    Kind.INVALID_REQUEST: {400, 405, 409, 415, 417, 501, 505},
    Kind.AUTHENTICATION: {401},
    Kind.PERMISSION: {403},
    Kind.NOT_FOUND: {404},
    Kind.TOO_LARGE: {413, 431},
    Kind.RATE_LIMIT: {429},
    Kind.TIMEOUT: {408, 504},
    Kind.SERVER: {500, 502},
}


def below(branch: type[ProxyError]) -> Iterator[type[ProxyError]]:
    for error in branch.__subclasses__():
        yield error
        yield from below(error)


EVERY: list[type[ProxyError]] = [ProxyError, *below(ProxyError)]
LEAVES = [error for error in EVERY if error not in BRANCHES]
every = pytest.mark.parametrize("error", EVERY, ids=lambda error: error.__name__)


def drawn() -> dict[str, int]:
    """The classes in the drawing at the top of the module, with their statuses."""
    drawing = (errors_module.__doc__ or "").partition("A class says")[0]
    return {name: int(status) for name, status in re.findall(r"([A-Z]\w+) (\d{3})\b", drawing)}


def drawn_branch(error: type[ProxyError]) -> str:
    """The branch under which the drawing has a class: the last line before its own that starts one."""
    branch = ""
    for line in (errors_module.__doc__ or "").splitlines():
        if started := re.match(r" {4}[├└]── (\w+) \d", line):
            branch = started[1]
        if re.search(rf"\b{error.__name__} \d", line):
            return branch
    raise AssertionError(f"{error.__name__} is not drawn")


def test_the_drawing_of_the_tree_has_every_class_with_its_status() -> None:
    assert drawn() == {error.__name__: error.status for error in EVERY}


@pytest.mark.parametrize("branch", [RequestError, LimitError, UpstreamError], ids=lambda branch: branch.__name__)
def test_the_drawing_has_the_classes_of_a_branch_under_it(branch: type[ProxyError]) -> None:
    assert {error for error in EVERY if error is branch or drawn_branch(error) == branch.__name__} == {branch, *below(branch)}


@every
def test_a_class_says_status_code_kind_outcome_and_retry(error: type[ProxyError]) -> None:
    assert 400 <= error.status <= 599
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert isinstance(error.kind, Kind)
    assert isinstance(error.outcome, Outcome)
    assert isinstance(error.retry, Retry)


@every
def test_a_code_belongs_to_one_class(error: type[ProxyError]) -> None:
    assert {other for other in EVERY if other.code == error.code} == SHARED.get(error.code, {error})


@every
def test_the_public_text_is_one_whole_sentence(error: type[ProxyError]) -> None:
    assert re.fullmatch(r"[A-Z][^.]*(\d\.\d[^.]*)*\.", error.public), error.public


@every
def test_the_public_text_has_no_place_for_a_secret_or_an_address(error: type[ProxyError]) -> None:
    assert not re.search(r"[{}%:/@]|\bsk-", error.public.replace("HTTP/1", "")), error.public


@every
def test_the_kind_fits_the_status(error: type[ProxyError]) -> None:
    allowed = KINDS.get(error.kind, {502, 503})  # overloaded: a limit, or a backend that says so in its stream

    assert error.status in allowed


@every
def test_the_outcome_says_whose_doing_it_was(error: type[ProxyError]) -> None:
    word = error.outcome.value

    assert word.startswith(("upstream_", "in_band_")) == issubclass(error, UpstreamError)
    assert not issubclass(error, RequestError | LimitError) or word.startswith("rejected_")
    assert (word == "rejected_auth") == issubclass(error, Denied)
    assert (word == "proxy_error") == (error in (ProxyError, InternalError))


def test_every_outcome_of_a_failure_has_a_class() -> None:
    assert {error.outcome for error in LEAVES} == set(Outcome) - {Outcome.COMPLETED}


def test_only_failures_of_one_target_may_be_tried_again() -> None:
    of_one_target = {UpstreamError, *below(UpstreamError), Untranslatable}

    assert {error for error in EVERY if error.retry is not Retry.NEVER} <= of_one_target


def test_what_never_reached_the_upstream_is_safe_to_try_again() -> None:
    safe = {error.__name__ for error in EVERY if error.retry is Retry.SAFE}

    assert safe == {"Untranslatable", "UpstreamBusy", "UpstreamDnsFailed", "UpstreamConnectFailed", "UpstreamTlsFailed"}


# Instances.


def test_an_error_without_words_has_those_of_its_class() -> None:
    error = TooManyStreams()

    assert (str(error), error.detail, error.public) == (TooManyStreams.public,) * 3
    assert error.retry_after is None


def test_the_detail_is_for_the_log_and_does_not_reach_the_public_text() -> None:
    error = TooManyStreams("10.0.0.7 holds 400", retry_after=1.5)

    assert (str(error), error.detail) == ("10.0.0.7 holds 400",) * 2
    assert error.public == TooManyStreams.public
    assert error.retry_after == 1.5


def test_a_public_text_of_its_own_stays_with_the_instance() -> None:
    error = Expired(public="The answer took too long.")

    assert (error.public, error.detail) == ("The answer took too long.",) * 2
    assert Expired().public == Expired.public != error.public


def test_a_detail_goes_before_the_public_text() -> None:
    error = Draining("worker 3", public="Try again.")

    assert (error.detail, error.public) == ("worker 3", "Try again.")
