from __future__ import annotations

import pytest

from proxy.streaming import WriteStall

START = 100.0


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        pytest.param([(100, 100, 101)], 1, id="at the first look: since it is watched"),
        pytest.param([(100, 40, 101)], 0, id="at the first look: it has taken something"),
        pytest.param([(100, 60, 101), (100, 60, 105)], 4, id="nothing taken"),
        pytest.param([(100, 60, 101), (100, 59, 105)], 0, id="one byte taken"),
        pytest.param([(100, 60, 101), (100, 59, 105), (100, 59, 108)], 3, id="nothing since that byte"),
        pytest.param([(100, 60, 101), (150, 110, 105)], 4, id="more was written, none of it taken"),
        pytest.param([(100, 60, 101), (150, 109, 105)], 0, id="more was written, one byte taken"),
        pytest.param([(0, 0, 101), (0, 0, 500)], 0, id="nothing was written"),
        pytest.param([(100, 0, 101), (100, 0, 500)], 0, id="nothing waits"),
        pytest.param([(100, 60, 101), (100, 0, 500), (200, 100, 501)], 1, id="everything was taken meanwhile"),
        pytest.param([(0, 0, 101), (100, 100, 103), (100, 100, 110)], 9, id="since the last look at which nothing waited"),
    ],
)
def test_client_has_taken_nothing_for_as_long_as_not_one_byte_left(looks: list[tuple[int, int, float]], seconds: float) -> None:
    stall = WriteStall(START)

    for written, pending, now in looks:
        told = stall.seconds(written, pending, now)

    assert told == seconds
