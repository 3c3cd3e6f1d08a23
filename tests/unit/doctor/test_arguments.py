"""The doctor's command line."""

from __future__ import annotations

import argparse

import pytest

from proxy.doctor import arguments


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    arguments.add_to(parser)
    return parser.parse_args(words)


def test_defaults_are_ten_events_in_five_seconds() -> None:
    found = parsed("http://a", "http://b")

    assert found.urls == ["http://a", "http://b"]
    assert (found.count, found.interval, found.size, found.key, found.header) == (10, 0.5, 0, None, [])
    assert (found.json, found.url_is_stream, found.insecure) == (False, False, False)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("a", "--count", "many"),
        ("a", "--insecure", "--cafile", "x"),
        ("a", "--nonsense"),
        ("--idle", "http://a"),
        ("a", "--idle=0"),
        ("a", "--bodies=601"),
    ],
)
def test_nonsense_is_wrong_use(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*words)

    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err
