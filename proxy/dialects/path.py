"""Reads the model from a placeholder of an endpoint's path."""

from __future__ import annotations

from proxy.errors import ModelNotFound


def path_model(name: str) -> str:
    """Return a model's name as the path has it, percent-decoded.

    Raises ModelNotFound for bytes that are no UTF-8: they name none, and logs could not hold them.
    """
    try:
        name.encode()
    except UnicodeEncodeError as exc:
        raise ModelNotFound from exc
    return name
