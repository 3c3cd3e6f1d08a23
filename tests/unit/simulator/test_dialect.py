from __future__ import annotations

import pytest

from proxy.errors import BadRequest, BodyTooLarge, Kind, ModelNotFound
from proxy.simulator.dialect import Failure, retry_after


def test_failure_repeats_what_an_error_says_to_the_public() -> None:
    failure = Failure.of(BadRequest("Mend it.", detail="secret", param="n"))

    assert failure == Failure(status=400, kind=Kind.INVALID_REQUEST, message="Mend it.", param="n")


def test_failure_of_an_unknown_model_has_its_code() -> None:
    assert Failure.of(ModelNotFound()).code == "model_not_found"
    assert Failure.of(BodyTooLarge()).code is None


@pytest.mark.parametrize(("wait", "headers"), [(None, {}), (2.0, {"Retry-After": "2"}), (0.5, {"Retry-After": "0.5"})])
def test_wait_is_told_in_a_header(wait: float | None, headers: dict[str, str]) -> None:
    assert retry_after(Failure(status=429, kind=Kind.RATE_LIMIT, message="Oh.", retry_after=wait)) == headers
