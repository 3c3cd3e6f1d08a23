"""Reads a YAML file into a document: positions kept, references replaced, duplicates, tags and alias bombs refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from proxy.settings.consistency import Loc
from proxy.settings.document import Document, dotted
from proxy.settings.interpolation import interpolated
from proxy.settings.problems import Problem, SettingsError

MAX_BYTES: Final = 4 << 20
MAX_DEPTH: Final = 32
MAX_NODES: Final = 100_000

_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = frozenset(_TAG + name for name in ("null", "bool", "int", "float", "str", "timestamp", "value"))
_Pairs = list[tuple[yaml.Node, yaml.Node]]
_Loader: Final[type[Any]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_file(name: str, environ: Mapping[str, str]) -> Document:
    """Read the file *name*; raises SettingsError if it is no YAML mapping at all."""
    root = _root(name, _text(name))
    document = Document(source=name, places={(): f"{name}:1:1"})
    if root is None or root.tag == f"{_TAG}null":
        return document
    if not isinstance(root, yaml.MappingNode):
        raise SettingsError([Problem(_place(name, root), "", "expected a mapping of settings, such as `listen: 127.0.0.1:8080`")])
    document.data = _Reading(name, document, environ).value(root, ())
    return document


class _Reading:
    """One walk over the nodes of a file."""

    def __init__(self, name: str, document: Document, environ: Mapping[str, str]) -> None:
        self._name = name
        self._document = document
        self._environ = environ
        self._nodes = 0

    def value(self, node: yaml.Node, path: Loc) -> Any:
        """Return the plain value of *node*. An alias is walked anew at each use: the limits are for what it expands to."""
        self._nodes += 1
        if self._nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise SettingsError(
                [Problem(_place(self._name, node), dotted(path[:8]), "too many or too deeply nested values: look at the aliases")]
            )
        self._document.places[path] = _place(self._name, node)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return {key: self.value(child, (*path, key)) for key, child in self._entries(node, path)}
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return self._scalar(node, path)
        self._document.breaks(path, "YAML tags are not accepted here: write a plain value")
        return ""

    def _scalar(self, node: yaml.ScalarNode, path: Loc) -> str | None:
        if node.tag == f"{_TAG}null":
            return None
        try:
            return interpolated(node.value, self._environ)
        except ValueError as exc:
            self._document.breaks(path, str(exc))
            return ""

    def _entries(self, node: yaml.MappingNode, path: Loc) -> Iterator[tuple[str, yaml.Node]]:
        """Yield the entries of a mapping; those of a merge key (`<<`) count only where the mapping is silent."""
        seen: dict[str, yaml.Node] = {}
        merged: _Pairs = []
        for key, child in node.value:
            if key.tag == f"{_TAG}merge":
                merged += self._merged(child, path)
                continue
            if self._is_new(key, seen, path):
                yield key.value, child
        for key, child in merged:
            if isinstance(key, yaml.ScalarNode) and key.value not in seen:
                seen[key.value] = key
                self._document.keys[*path, key.value] = _place(self._name, key)
                yield key.value, child

    def _merged(self, node: yaml.Node, path: Loc) -> _Pairs:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if all(isinstance(source, yaml.MappingNode) for source in sources):
            return [pair for source in sources for pair in source.value]
        self._stray(node, (*path, "<<"), "expected an alias of a mapping")
        return []

    def _is_new(self, key: yaml.Node, seen: dict[str, yaml.Node], path: Loc) -> bool:
        if not isinstance(key, yaml.ScalarNode):
            self._stray(key, path, "expected a plain word as a key")
            return False
        if key.value in seen:
            self._stray(
                key,
                (*path, key.value),
                f"this key is already there in line {seen[key.value].start_mark.line + 1}: remove one of them",
            )
            return False
        seen[key.value] = key
        self._document.keys[*path, key.value] = _place(self._name, key)
        return True

    def _stray(self, node: yaml.Node, path: Loc, message: str) -> None:
        self._document.strays.append(Problem(_place(self._name, node), dotted(path), message))


def _text(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SettingsError([Problem(name, "", "the file is too large for a configuration")])
        return content.decode("utf-8-sig")
    except OSError as exc:
        raise SettingsError([Problem(name, "", f"the file cannot be read: {exc.strerror}")]) from exc
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise SettingsError([Problem(f"{name}:{line}:1", "", "the file is not UTF-8")]) from None


def _root(name: str, text: str) -> yaml.Node | None:
    try:
        _check_depth(name, text)
        return _composed(text)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        reason = ", ".join(filter(None, (exc.context, exc.problem)))
        if _begins_with_tab(text, mark):
            reason = "a tab cannot indent: write spaces"
        raise SettingsError([Problem(_at(name, mark), "", f"this is not valid YAML: {reason}")]) from None
    except yaml.YAMLError:
        raise SettingsError([Problem(f"{name}:1:1", "", "this is not valid YAML: the file holds a control character")]) from None


def _begins_with_tab(text: str, mark: Any) -> bool:
    lines = text.split("\n")
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    return "\t" in line[: len(line) - len(line.lstrip())]


def _check_depth(name: str, text: str) -> None:
    """Refuse deep nesting before libyaml's composer, which recurses in C, would take the process down."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise SettingsError([Problem(_at(name, event.start_mark), "", "the values are nested too deeply")])


def _composed(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


def _place(name: str, node: yaml.Node) -> str:
    return _at(name, node.start_mark)


def _at(name: str, mark: Any) -> str:
    return f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{name}:1:1"
