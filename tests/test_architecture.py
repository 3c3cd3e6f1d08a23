"""The house keeps its architecture, and each rule sees what it forbids: a rule that finds nothing proves nothing."""

from __future__ import annotations

import pytest

from tests.architecture import (
    FUNCTION_LINES,
    MODULE_LINES,
    PRIVATE_FILE,
    PRIVATE_MARK,
    PURE,
    ROOT,
    RULES,
    STREET,
    UNMIRRORED,
    Rule,
    aws_stays_in_the_bedrock_room,
    foreign_privates,
    house,
    import_does_no_work,
    imports_are_at_the_top,
    imports_point_down,
    module,
    modules_and_functions_stay_small,
    no_global_state,
    nothing_sleeps_on_the_loop,
    packages_hold_names_only,
    pure_rooms_do_no_io,
    tasks_are_spawned_in_one_place,
    without_mirror,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule: Rule) -> None:
    offences = sorted({offence for this in house() for offence in rule(this)})

    assert not offences, "\n".join(offences)


def test_private_attributes_of_libraries_stay_in_one_file() -> None:
    offences = list(foreign_privates(house()))

    assert not offences, "\n".join(offences)


def test_every_module_has_its_tests_at_the_same_path() -> None:
    tests = {file.relative_to(ROOT).as_posix() for file in (ROOT / "tests" / "unit").rglob("test_*.py")}
    offences = list(without_mirror([this.path for this in house()], tests))

    assert not offences, "\n".join(offences)


def test_every_exception_is_still_needed() -> None:
    paths = {this.path for this in house()}

    assert UNMIRRORED.keys() <= paths
    assert set(STREET) >= PURE
    assert len(STREET) == len(set(STREET))


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (imports_point_down, "upstream/pool.py", "from proxy.handler import Handler"),
        (imports_point_down, "router.py", "from proxy import server"),
        (imports_point_down, "sse/relay.py", "from ..dialects import base"),
        (imports_point_down, "errors.py", "import proxy.settings.model"),
        (imports_point_down, "helpers.py", ""),
        (imports_point_down, "handler.py", "from proxy.helpers import join"),
        (imports_point_down, "streaming.py", "if TYPE_CHECKING:\n    from proxy.server import Server"),
        (pure_rooms_do_no_io, "sse/relay.py", "import asyncio"),
        (pure_rooms_do_no_io, "router.py", "from random import random"),
        (pure_rooms_do_no_io, "retry.py", "import os.path"),
        (pure_rooms_do_no_io, "providers/openai.py", "from proxy.metrics import Metrics"),
        (tasks_are_spawned_in_one_place, "handler.py", "def f(loop, work):\n    loop.create_task(work)"),
        (tasks_are_spawned_in_one_place, "handler.py", "def f(work):\n    asyncio.ensure_future(work)"),
        (nothing_sleeps_on_the_loop, "handler.py", "def f():\n    time.sleep(1)"),
        (imports_are_at_the_top, "handler.py", "def f():\n    from proxy.errors import BadRequest"),
        (aws_stays_in_the_bedrock_room, "upstream/bedrock.py", "import aiobotocore.session"),
        (aws_stays_in_the_bedrock_room, "server.py", "def f():\n    from botocore import auth"),
        (import_does_no_work, "handler.py", "logging.basicConfig()"),
        (import_does_no_work, "handler.py", "for name in NAMES:\n    pass"),
        (no_global_state, "handler.py", "def f():\n    global count\n    count = 1"),
        (modules_and_functions_stay_small, "handler.py", "\n" * (MODULE_LINES + 1)),
        (modules_and_functions_stay_small, "handler.py", "def f():\n" + "    pass\n" * FUNCTION_LINES),
        (packages_hold_names_only, "auth/__init__.py", "def f():\n    pass"),
    ],
)
def test_a_rule_sees_what_it_forbids(rule: Rule, path: str, source: str) -> None:
    assert list(rule(module(path, source))) != []


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (imports_point_down, "handler.py", "from proxy import __version__\nfrom proxy.sse.relay import Relay"),
        (imports_point_down, "sse/relay.py", "from . import boundary\nfrom proxy.sse import events"),
        (pure_rooms_do_no_io, "router.py", "import re\nfrom proxy.settings import Model\nfrom proxy.errors import UpstreamBusy"),
        (tasks_are_spawned_in_one_place, "tasks.py", "def f(loop, work):\n    loop.create_task(work)"),
        (nothing_sleeps_on_the_loop, "handler.py", "async def f():\n    await asyncio.sleep(1)"),
        (imports_are_at_the_top, "cli.py", "def f():\n    from proxy.server import serve"),
        (imports_are_at_the_top, "server.py", "def f():\n    import uvloop"),
        (aws_stays_in_the_bedrock_room, "upstream/bedrock.py", "def f():\n    import aiobotocore.session"),
        (import_does_no_work, "handler.py", '"""Docstring."""\nLIMIT = int("3")\nif TYPE_CHECKING:\n    import json'),
        (modules_and_functions_stay_small, "handler.py", "def f():\n" + "    pass\n" * (FUNCTION_LINES - 1)),
        (packages_hold_names_only, "auth/__init__.py", "from proxy.auth.keys import Keys\n__all__ = ['Keys']"),
    ],
)
def test_a_rule_lets_pass_what_is_right(rule: Rule, path: str, source: str) -> None:
    assert list(rule(module(path, source))) == []


@pytest.mark.parametrize(
    ("path", "source", "offends"),
    [
        ("handler.py", "def f(request):\n    return request._protocol", True),
        ("handler.py", "class H:\n    def f(self):\n        self._mine = 1\n        return self._mine", False),
        ("handler.py", f"x = 1  {PRIVATE_MARK} there is no other way", True),
        (PRIVATE_FILE, "def f(self):\n    return self._messages", True),
        (PRIVATE_FILE, f"def f(self):\n    return self._messages  {PRIVATE_MARK} it has no public twin", False),
        (PRIVATE_FILE, f"def f(self):\n    {PRIVATE_MARK} it has no public twin\n    return self._messages", False),
    ],
)
def test_a_private_attribute_needs_the_right_file_and_a_reason(path: str, source: str, offends: bool) -> None:
    assert bool(list(foreign_privates([module(path, source)]))) is offends


def test_a_module_without_its_test_file_is_found() -> None:
    tests = {"tests/unit/test_router.py", "tests/unit/sse/test_relay.py"}

    assert list(without_mirror(["router.py", "sse/relay.py", "sse/__init__.py", "__main__.py"], tests)) == []
    assert list(without_mirror(["auth/keys.py"], tests)) == ["proxy/auth/keys.py has no tests/unit/auth/test_keys.py"]
