"""Which keys the configuration knows at a path, read from the types of its model."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from proxy.settings.consistency import Loc
from proxy.settings.model import Settings


def section_at(path: Loc) -> type[BaseModel] | None:
    """Return the model of the section at *path*; None where there is none."""
    kind: Any = Settings
    for key in path:
        model = model_of(kind)
        if model is None:
            kind = _element(kind)
        else:
            field = model.model_fields.get(str(key))
            kind = None if field is None else field.annotation
    return model_of(kind)


def scalars(data: Mapping[str, Any]) -> Iterator[tuple[Loc, bool]]:
    """Yield the path of each single value that *data* has or could have, and whether it is a list of such.

    Named and numbered sections (upstreams, models, …) are those that are in *data*.
    """
    yield from _scalars(Settings, data, ())


def model_of(kind: Any) -> type[BaseModel] | None:
    """Return the section type behind *kind*, if it is one."""
    bare = _bare(kind)
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def _scalars(kind: Any, value: Any, path: Loc) -> Iterator[tuple[Loc, bool]]:
    model = model_of(kind)
    if model is not None:
        for name, field in model.model_fields.items():
            yield from _scalars(field.annotation, _child(value, name), (*path, name))
        return
    element = _element(kind)
    if element is None:
        yield path, False
    elif model_of(element) is not None:
        for key, each in _entries(value):
            yield from _scalars(element, each, (*path, key))
    elif get_origin(_bare(kind)) is tuple:
        yield path, True


def _element(kind: Any) -> Any:
    """Return the type of the entries of a list or of a mapping with free keys."""
    bare = _bare(kind)
    arguments = get_args(bare)
    if get_origin(bare) is tuple:
        return arguments[0]
    return arguments[1] if get_origin(bare) is dict else None


def _bare(kind: Any) -> Any:
    """Return *kind* without annotations and without the choice of None."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in {Union, types.UnionType}:
        choices = [each for each in get_args(kind) if each is not type(None)]
        return _bare(choices[0]) if len(choices) == 1 else kind
    return kind


def _child(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _entries(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)
