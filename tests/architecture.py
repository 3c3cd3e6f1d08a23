"""The architecture as rules: who may import whom, what each room may touch, and how large things may grow.

Every rule reads one module's syntax tree and yields its offences. A new room gets its place in STREET, and in PURE if it
does no I/O.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

# The street, from the front door down. A room is a file or folder of proxy/; it may import any room below itself.
STREET: Final = (
    "__main__",
    "cli",
    "doctor",
    "worker",
    "server",  # the only composition root: nothing below it builds the house
    "banner",
    "supervisor",
    "reloading",
    "simulator",
    "admin",
    "handler",
    "chat",
    "lifecycle",
    "streaming",
    "downstream",
    "upstream",
    "providers",
    "translate",  # above the dialects: it uses their words for errors and usage
    "dialects",
    "sse",
    "auth",
    "router",
    "retry",
    "health",
    "headers",
    "metrics",
    "access_log",
    "logs",
    "store",
    "process",
    "settings",
    "globs",
    "errors",
    "exchange",
    "tasks",
)

# Pure rooms take bytes, values and `now`, and give values back. They see other pure rooms, and settings for its values.
PURE: Final = frozenset(
    {"chat", "dialects", "errors", "exchange", "globs", "headers", "health", "providers", "retry", "router", "sse", "translate"}
)
IMPURE_MODULES: Final = frozenset({"aiohttp", "asyncio", "os", "prometheus_client", "random", "socket", "time"})
VALUES: Final = PURE | {"settings"}

# Imported inside a function on purpose, wherever that is.
OPTIONAL: Final = {
    "aiobotocore": "half a second to import, and needed only where a Bedrock upstream is configured",
    "botocore": "comes with aiobotocore",
    "asyncpg": "only where the usage store is a PostgreSQL, with the extra of that name",
    "uvloop": "there is none for every platform",
}
LAZY_FILES: Final = frozenset({"__main__.py", "cli.py"})  # a command pays only for what it uses
TASK_FILE: Final = "tasks.py"
PRIVATE_FILE: Final = "downstream/connection.py"  # the one file that may lean on what aiohttp does not promise
PRIVATE_MARK: Final = "# aiohttp private:"
NOT_PRIVATE: Final = frozenset({"_replace", "_make", "_asdict", "_fields"})  # what named tuples have; documented, and public

MODULE_LINES: Final = 400
FUNCTION_LINES: Final = 50

UNMIRRORED: Final = {
    "__main__.py": "two lines, run by the end-to-end tests",
}


@dataclass(frozen=True, slots=True)
class Module:
    """One source file of proxy/, by its path below that folder."""

    path: str
    source: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.path.split("/", maxsplit=1)[0].removesuffix(".py")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, absolute and dotted, and whether it is imported only inside a function."""

    name: str
    line: int
    local: bool

    @property
    def top(self) -> str:
        return self.name.split(".", maxsplit=1)[0]

    @property
    def room(self) -> str | None:
        """The room of proxy/ that is imported; None for other packages and for `proxy` itself."""
        parts = self.name.split(".")
        return parts[1] if parts[0] == "proxy" and len(parts) > 1 and not parts[1].startswith("__version") else None


Rule = Callable[[Module], Iterator[str]]


def module(path: str, source: str) -> Module:
    return Module(path, source, ast.parse(source))


@cache
def house() -> list[Module]:
    """Every module of proxy/."""
    folder = ROOT / "proxy"
    return [module(file.relative_to(folder).as_posix(), file.read_text()) for file in sorted(folder.rglob("*.py"))]


def imports(this: Module) -> Iterator[Import]:
    inside = {id(child) for node in functions(this) for child in ast.walk(node)}
    for node in ast.walk(this.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = origin(this, node)
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (Import(name, node.lineno, id(node) in inside) for name in names)


def origin(this: Module, node: ast.ImportFrom) -> str:
    """The absolute name of what `from … import` imports from."""
    if not node.level:
        return node.module or ""
    package = ["proxy", *this.path.split("/")[:-1]]
    return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


def functions(this: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(this.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def calls(this: Module) -> Iterator[tuple[str, int]]:
    """Each call by the dotted name it is written with."""
    for node in ast.walk(this.tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def imports_point_down(this: Module) -> Iterator[str]:
    if this.room == "__init__":
        return
    if this.room not in STREET:
        yield f"{this.path}: the room {this.room} has no place in STREET"
        return
    for one in imports(this):
        if one.room in (None, this.room):
            continue
        if one.room not in STREET:
            yield f"{this.path}:{one.line}: the room {one.room} has no place in STREET"
        elif STREET.index(one.room) < STREET.index(this.room):
            yield f"{this.path}:{one.line}: {this.room} imports {one.room}, which is up the street"


def pure_rooms_do_no_io(this: Module) -> Iterator[str]:
    if this.room not in PURE:
        return
    for one in imports(this):
        if one.top in IMPURE_MODULES:
            yield f"{this.path}:{one.line}: the pure room {this.room} imports {one.top}"
        if one.room is not None and one.room not in VALUES:
            yield f"{this.path}:{one.line}: the pure room {this.room} imports {one.room}, which is not pure"


def tasks_are_spawned_in_one_place(this: Module) -> Iterator[str]:
    if this.path == TASK_FILE:
        return
    for name, line in calls(this):
        if name.split(".")[-1] in {"create_task", "ensure_future", "run_coroutine_threadsafe"}:
            yield f"{this.path}:{line}: {name}; use proxy.tasks"


def nothing_sleeps_on_the_loop(this: Module) -> Iterator[str]:
    for name, line in calls(this):
        if name in {"time.sleep", "sleep"}:
            yield f"{this.path}:{line}: {name}"


def imports_are_at_the_top(this: Module) -> Iterator[str]:
    if this.path in LAZY_FILES:
        return
    for one in imports(this):
        if one.local and one.top not in OPTIONAL:
            yield f"{this.path}:{one.line}: {one.name} is imported inside a function"


def aws_stays_in_the_bedrock_room(this: Module) -> Iterator[str]:
    for one in imports(this):
        if one.top not in {"aiobotocore", "botocore"}:
            continue
        if not one.local:
            yield f"{this.path}:{one.line}: {one.top} is imported at module level"
        if "bedrock" not in this.path:
            yield f"{this.path}:{one.line}: {one.top} is imported outside the Bedrock room"


def import_does_no_work(this: Module) -> Iterator[str]:
    """A module defines; it does not act. An expression that stands alone, a loop or a `with` acts."""
    for node in this.tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        acts = isinstance(node, ast.Expr | ast.For | ast.While | ast.With | ast.Delete | ast.AugAssign)
        if acts and not docstring:
            yield f"{this.path}:{node.lineno}: work at import: {ast.unparse(node)[:60]}"


def no_global_state(this: Module) -> Iterator[str]:
    for node in ast.walk(this.tree):
        if isinstance(node, ast.Global):
            yield f"{this.path}:{node.lineno}: global {', '.join(node.names)}"


def modules_and_functions_stay_small(this: Module) -> Iterator[str]:
    lines = len(this.source.splitlines())
    if lines > MODULE_LINES:
        yield f"{this.path}: {lines} lines"
    for node in functions(this):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES:
            yield f"{this.path}:{node.lineno}: {node.name} has {length} lines"


def packages_hold_names_only(this: Module) -> Iterator[str]:
    """An `__init__.py` has no test of its own, so it has nothing to test."""
    if not this.path.endswith("__init__.py"):
        return
    for node in this.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield f"{this.path}:{node.lineno}: {node.name} belongs into a file of its own"


RULES: Final[tuple[Rule, ...]] = (
    imports_point_down,
    pure_rooms_do_no_io,
    tasks_are_spawned_in_one_place,
    nothing_sleeps_on_the_loop,
    imports_are_at_the_top,
    aws_stays_in_the_bedrock_room,
    import_does_no_work,
    no_global_state,
    modules_and_functions_stay_small,
    packages_hold_names_only,
)


def private_names(this: Module) -> set[str]:
    """Every `_name` that this module defines: attributes, methods, fields, slots, functions, constants."""
    found: set[str] = set()
    for node in ast.walk(this.tree):
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.attr if isinstance(node, ast.Attribute) else node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)  # __slots__
    return {name for name in found if name.startswith("_")}


def foreign_private_reads(this: Module, own: set[str]) -> Iterator[tuple[str, int]]:
    """Uses of a `_name` that nobody in this room defines, so it belongs to a library."""
    for node in ast.walk(this.tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and node.attr not in NOT_PRIVATE
            and node.attr not in own
        ):
            yield node.attr, node.lineno


def foreign_privates(modules: list[Module]) -> Iterator[str]:
    own: dict[str, set[str]] = {}  # by room
    for this in modules:
        own.setdefault(this.room, set()).update(private_names(this))
    for this in modules:
        if PRIVATE_MARK in this.source and this.path != PRIVATE_FILE:
            yield f"{this.path}: only {PRIVATE_FILE} may carry '{PRIVATE_MARK}'"
        lines = this.source.splitlines()
        for name, line in foreign_private_reads(this, own[this.room]):
            reason = "".join(lines[max(line - 2, 0) : line])  # on the line itself, or above it
            if this.path != PRIVATE_FILE or PRIVATE_MARK not in reason:
                yield f"{this.path}:{line}: {name} is private to a library, and no '{PRIVATE_MARK}' gives the reason"


def mirror(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"tests/unit/{folder}/test_{name}" if folder else f"tests/unit/test_{name}"


def without_mirror(paths: list[str], tests: set[str]) -> Iterator[str]:
    for path in paths:
        if not path.endswith("__init__.py") and path not in UNMIRRORED and mirror(path) not in tests:
            yield f"proxy/{path} has no {mirror(path)}"
