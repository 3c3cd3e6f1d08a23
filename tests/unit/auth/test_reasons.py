"""The words for a refusal are a closed set that a metric can carry."""

from __future__ import annotations

import re

from proxy.auth import REASONS


def test_every_reason_is_one_plain_word() -> None:
    assert all(type(reason) is str and re.fullmatch(r"[a-z0-9_]+", reason) for reason in REASONS)


def test_the_words_that_others_rely_on_are_in_the_set() -> None:
    assert {"missing", "several_credentials", "sigv4", "expired", "unknown_api_key", "model_not_allowed"} <= REASONS
