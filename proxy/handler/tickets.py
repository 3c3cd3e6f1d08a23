"""`POST /auth/tickets`: gives its caller a ticket, for what cannot send a header."""

from __future__ import annotations

import math
from typing import Final

from proxy.auth import RequestHead
from proxy.dialects.body import read_object, text_field
from proxy.downstream import Sent
from proxy.errors import BadRequest, RequestError
from proxy.handler.call import Call
from proxy.handler.pages import answer_json
from proxy.handler.surface import Surface
from proxy.headers import validate_target

MAX_PATH: Final = 2048  # bytes; a ticket keeps it


async def issue(call: Call) -> Sent:
    """Answer with a ticket for the path in the body. Raises BadRequest that names what is wrong with it."""
    runtime = call.runtime
    await call.read_body(runtime.settings.limits, runtime.bodies)
    wanted = read_object(call.body)
    if text_field(wanted, "method") != "GET":
        raise BadRequest("The field 'method' must be GET: no other method takes a ticket.", param="method")
    path = _served(text_field(wanted, "path"), runtime.surface)
    assert call.principal is not None
    issued = await runtime.authenticator.issue(path, call.principal, RequestHead(call.head, call.method), call.exchange.wall)
    return answer_json(call, 200, {"ticket": issued.text, "expires_in": math.floor(issued.lifetime)})


def _served(wanted: str, surface: Surface) -> bytes:
    """Return the path as it will come, byte for byte. Raises BadRequest for one that is not served to a GET."""
    try:
        path, query = validate_target(wanted.encode())
        surface.match(b"GET", path)
    except RequestError as exc:
        raise BadRequest("The field 'path' names nothing that a GET is served at.", param="path") from exc
    if len(path) > MAX_PATH:
        raise BadRequest(f"The field 'path' is longer than {MAX_PATH} characters.", param="path")
    if query:
        raise BadRequest("The field 'path' must have no query: what follows the path is up to the request.", param="path")
    return path
