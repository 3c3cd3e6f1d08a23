"""What every database of the usage store must do, whichever it is."""

from __future__ import annotations

import orjson

from proxy.store import Database, Row

NOW = 1_700_000_000.0


def row(at: float = NOW, kind: str = "openai_call", **payload: object) -> Row:
    return Row(at, kind, orjson.dumps(payload))


async def keeps_what_it_is_given(database: Database) -> None:
    await database.write([row(model="gpt", text="é\n'\";--"), row(NOW + 1.5, "error")])

    assert await database.read(NOW) == [
        (NOW, "openai_call", {"model": "gpt", "text": "é\n'\";--"}),
        (NOW + 1.5, "error", {}),
    ]
    assert await database.read(NOW + 1) == [(NOW + 1.5, "error", {})]


async def forgets_the_oldest_in_steps(database: Database) -> None:
    await database.write([row(NOW + second) for second in range(5)])

    assert await database.forget(NOW + 3, 2) == 2
    assert await database.forget(NOW + 3, 2) == 1
    assert await database.forget(NOW + 3, 2) == 0
    assert [at for at, _, _ in await database.read(0)] == [NOW + 3, NOW + 4]
