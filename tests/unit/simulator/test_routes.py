from __future__ import annotations

import pytest

from proxy.errors import MethodNotAllowed, NotFound
from proxy.simulator.dialect import Answer, Call, Dialect, Route, Whole
from proxy.simulator.openai import DIALECT
from proxy.simulator.routes import Routes


def read(_: Call) -> Answer:
    return Answer("", lambda _: Whole(b"{}"))


LIST = Route("GET", "/v1/things", DIALECT, read)
MAKE = Route("POST", "/v1/things", DIALECT, read)
ONE = Route("GET", "/v1/things/{id}", DIALECT, read)
VERB = Route("POST", "/v1/things/{id}:run", DIALECT, read)
ROUTES = Routes([LIST, MAKE, ONE, VERB])


@pytest.mark.parametrize(
    ("method", "path", "route", "parameters"),
    [
        ("GET", "/v1/things", LIST, {}),
        ("POST", "/v1/things", MAKE, {}),
        ("GET", "/v1/things/a.b", ONE, {"id": "a.b"}),
        ("GET", "/v1/things/a%2Fb", ONE, {"id": "a/b"}),
        ("POST", "/v1/things/x:1:run", VERB, {"id": "x:1"}),
    ],
)
def test_route_is_found_by_method_and_path(method: str, path: str, route: Route, parameters: dict[str, str]) -> None:
    assert ROUTES.find(method, path) == (route, parameters)


@pytest.mark.parametrize("path", ["/", "/v1/things/", "/v1/things/a/b", "/v1/thingsX", "/v2/things"])
def test_unknown_path_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        ROUTES.find("GET", path)


def test_known_path_with_another_method_names_the_allowed_ones() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        ROUTES.find("DELETE", "/v1/things")

    assert refused.value.allowed == ("GET", "POST")


@pytest.mark.parametrize(("path", "dialect"), [("/v1/things", DIALECT), ("/v1/things/a:run", DIALECT), ("/v2/things", None)])
def test_path_has_a_dialect_whatever_the_method(path: str, dialect: Dialect | None) -> None:
    assert ROUTES.dialect(path) is dialect
