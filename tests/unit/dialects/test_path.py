from __future__ import annotations

import pytest

from proxy.dialects.path import path_model
from proxy.errors import ModelNotFound


@pytest.mark.parametrize("name", ["gpt-4o", "vendor/model:1", "mod\u00e8le"])
def test_the_model_is_what_the_path_names(name: str) -> None:
    assert path_model(name) == name


def test_bytes_that_are_no_text_name_no_model() -> None:
    with pytest.raises(ModelNotFound):
        path_model("\udce9")
