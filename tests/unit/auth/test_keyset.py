"""A key document yields the keys that fit the issuer, and never fewer than it should because one entry is bad."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.auth.keyset import MAX_KEYS, JwksError, read_keyset
from proxy.errors import Unauthenticated
from tests.unit.auth.issuing import PrivateKey, document, ec_key, ed_key, jwk, p384_key, rsa_key

RSA = ("RS256", "RS512", "PS256")


def refusal(keys: bytes, key_id: str | None, algorithm: str, algorithms: tuple[str, ...] = RSA) -> str:
    with pytest.raises(Unauthenticated) as caught:
        read_keyset(keys, algorithms).select(key_id, algorithm)
    return caught.value.reason


def test_a_key_is_chosen_by_its_id() -> None:
    keys = read_keyset(document(jwk(rsa_key(), "k1"), jwk(rsa_key("second"), "k2")), RSA)

    chosen = keys.select("k2", "RS256")

    assert chosen.material.public_numbers() == rsa_key("second").public_key().public_numbers()


def test_a_key_without_an_algorithm_serves_all_of_the_issuers() -> None:
    keys = read_keyset(document(jwk(rsa_key())), RSA)

    chosen = keys.select("k1", "PS256")

    assert chosen.algorithms == RSA


def test_a_key_with_an_algorithm_serves_no_other() -> None:
    reason = refusal(document(jwk(rsa_key(), alg="RS512")), "k1", "RS256")

    assert reason == "algorithm_not_allowed"


def test_keys_that_share_an_id_are_told_apart_by_their_algorithm() -> None:
    keys = read_keyset(document(jwk(rsa_key(), alg="RS512"), jwk(rsa_key("second"), alg="RS256")), RSA)

    chosen = keys.select("k1", "RS256")

    assert chosen.algorithms == ("RS256",)


def test_a_token_without_a_key_id_gets_the_only_key() -> None:
    keys = read_keyset(document(jwk(rsa_key(), kid=None), jwk(ec_key(), "ec")), RSA)

    chosen = keys.select(None, "RS256")

    assert chosen.key_id is None


def test_a_token_without_a_key_id_gets_none_of_several_keys() -> None:
    reason = refusal(document(jwk(rsa_key(), "k1"), jwk(rsa_key("second"), "k2")), None, "RS256")

    assert reason == "unknown_key_id"


def test_a_key_without_an_id_is_not_meant_by_a_token_that_names_one() -> None:
    reason = refusal(document(jwk(rsa_key(), kid=None)), "k1", "RS256")

    assert reason == "unknown_key_id"


@pytest.mark.parametrize(
    ("entry", "algorithms"),
    [
        (jwk(rsa_key(), use="enc"), RSA),
        (jwk(rsa_key(), use=["sig"]), RSA),
        (jwk(rsa_key(), key_ops=["encrypt"]), RSA),
        (jwk(rsa_key(), key_ops="verify"), RSA),
        (jwk(rsa_key(), alg="RSA-OAEP"), RSA),
        (jwk(rsa_key(), alg="HS256"), RSA),
        (jwk(rsa_key(), alg=["RS256"]), RSA),
        ({**jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(), as_dict=True), "key_ops": ["verify"], "kid": "k1"}, RSA),
        (jwk(rsa_key("weak", 1024)), RSA),
        (jwk(rsa_key(), n=5), RSA),
        (jwk(rsa_key(), n="!!!"), RSA),
        (jwk(rsa_key(), e="AA"), RSA),
        (jwk(rsa_key(), n=None), RSA),
        (jwk(rsa_key(), kid="k" * 129), RSA),
        ({**jwk(rsa_key()), "kid": 7}, RSA),
        (jwk(rsa_key()), ("ES256",)),
        (jwk(ec_key()), RSA),
        (jwk(p384_key()), ("ES256",)),
        (jwk(ec_key(), x="AAAA"), ("ES256",)),
        (jwk(ec_key(), y=jwk(ec_key())["x"]), ("ES256",)),
        (jwk(ec_key(), crv=["P-256"]), ("ES256",)),
        (jwk(ed_key(), x="AAAA"), ("EdDSA",)),
        ({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "k1"}, ("HS256",)),
        ({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "k1"}, RSA),
        ({}, RSA),
        ("k1", RSA),
        (None, RSA),
    ],
)
def test_a_key_that_does_not_fit_is_left_out(entry: Any, algorithms: tuple[str, ...]) -> None:
    with pytest.raises(JwksError, match="no usable key"):
        read_keyset(document(entry), algorithms)


def test_a_bad_entry_does_not_spoil_the_good_one_behind_it() -> None:
    keys = read_keyset(document(7, jwk(rsa_key(), "bad", n="!"), jwk(rsa_key())), RSA)

    assert len(keys) == 1
    assert "k1" in keys


@pytest.mark.parametrize(
    ("key", "algorithm"), [(rsa_key, "RS256"), (rsa_key, "PS256"), (ec_key, "ES256"), (p384_key, "ES384"), (ed_key, "EdDSA")]
)
def test_every_family_of_public_keys_can_be_read(key: Any, algorithm: str) -> None:
    keys = read_keyset(document(jwk(key(), key_ops=["verify"], alg=algorithm)), (algorithm,))

    assert keys.select("k1", algorithm).algorithms == (algorithm,)


def test_only_so_many_keys_are_read() -> None:
    entries = [jwk(rsa_key(), f"k{number}") for number in range(MAX_KEYS + 1)]

    keys = read_keyset(document(*entries), RSA)

    assert len(keys) == MAX_KEYS
    assert f"k{MAX_KEYS}" not in keys


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"7", b"null", b"{}", b'{"keys": {}}', b'{"keys": []}', b'{"keys": null}', b"[" * 100_000]
)
def test_what_is_no_key_set_is_an_error(body: bytes) -> None:
    with pytest.raises(JwksError):
        read_keyset(body, RSA)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["AQAB", "sig", "P-256"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "n", "e", "crv", "x", "y", "alg", "use", "kid", "key_ops", "x5c", "k"]), _JSON, max_size=4
)


@settings(deadline=None)
@given(_MEMBERS, st.sampled_from(["rsa", "ec", "ed"]))
def test_no_document_raises_anything_but_its_own_error(members: dict[str, Any], family: str) -> None:
    families: dict[str, tuple[PrivateKey, str]] = {
        "rsa": (rsa_key(), "RS256"),
        "ec": (ec_key(), "ES256"),
        "ed": (ed_key(), "EdDSA"),
    }
    key, algorithm = families[family]
    body = json.dumps({"keys": [{**jwk(key), **members}]}).encode()

    try:
        keys = read_keyset(body, (algorithm,))
    except JwksError:
        return

    assert len(keys) == 1
