"""The mark `component` is enforced by the root conftest: a test without its program skips loudly, or fails in strict mode."""

from __future__ import annotations

import pytest

from tests.conftest import pytest_runtest_setup
from tests.support.components import STRICT


def test_marked_test_runs_where_its_programs_are(request: pytest.FixtureRequest) -> None:
    request.node.add_marker(pytest.mark.component("sh", "env"))

    pytest_runtest_setup(request.node)


def test_marked_test_is_skipped_where_one_is_missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STRICT, raising=False)
    request.node.add_marker(pytest.mark.component("sh", "no-such-program"))

    with pytest.raises(pytest.skip.Exception, match="NO-SUCH-PROGRAM IS MISSING"):
        pytest_runtest_setup(request.node)


def test_marked_test_fails_where_skipping_is_forbidden(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STRICT, "1")
    request.node.add_marker(pytest.mark.component("no-such-program"))

    with pytest.raises(pytest.fail.Exception, match="NO-SUCH-PROGRAM IS MISSING"):
        pytest_runtest_setup(request.node)
