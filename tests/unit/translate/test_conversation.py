from __future__ import annotations

import pytest

from proxy.translate.conversation import Choice


@pytest.mark.parametrize(
    ("choice", "forced"), [(Choice(), False), (Choice("none"), False), (Choice("any"), True), (Choice("tool", "f"), True)]
)
def test_a_tool_has_to_be_called_where_any_or_one_of_them_is_wanted(choice: Choice, forced: bool) -> None:
    assert choice.forced is forced
