from __future__ import annotations

import pytest

from proxy.store.database import Database


def test_a_database_that_cannot_do_all_of_it_is_none() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Database()  # type: ignore[abstract]  # that is the point
