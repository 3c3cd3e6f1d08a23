from __future__ import annotations

from proxy.errors import BadRequest, BodyTooLarge, Kind, ModelNotFound
from proxy.simulator.dialect import Failure


def test_failure_repeats_what_an_error_says_to_the_public() -> None:
    failure = Failure.of(BadRequest("Mend it.", detail="secret", param="n"))

    assert failure == Failure(status=400, kind=Kind.INVALID_REQUEST, message="Mend it.", param="n")


def test_failure_of_an_unknown_model_has_its_code() -> None:
    assert Failure.of(ModelNotFound()).code == "model_not_found"
    assert Failure.of(BodyTooLarge()).code is None
