from __future__ import annotations

import pytest

from proxy.store.urls import open_database


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///data/usage.db", "<Sqlite data/usage.db>"),
        ("sqlite:////var/lib/usage.db", "<Sqlite /var/lib/usage.db>"),
        ("postgresql://user:secret@host/db", "<Postgres ***>"),
    ],
)
def test_the_url_says_which_database_it_is(url: str, shown: str) -> None:
    assert repr(open_database(url)) == shown
