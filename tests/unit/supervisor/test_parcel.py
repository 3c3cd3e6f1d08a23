from __future__ import annotations

from proxy.supervisor.parcel import pack, unpack
from tests.support.house import settings


def test_settings_arrive_as_they_were_with_their_secrets() -> None:
    sent = settings(
        "http://127.0.0.1:1", auth={"jwt": [{"issuer": "i", "audience": "a", "algorithms": ["HS256"], "secret": "s" * 32}]}
    )

    got = unpack(pack(sent))

    assert got == sent
    assert got.source == sent.source
    assert got.auth.jwt[0].secret.get_secret_value() == "s" * 32
    assert got.upstreams["a"].api_key == sent.upstreams["a"].api_key
