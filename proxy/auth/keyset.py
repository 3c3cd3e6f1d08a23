"""Reads a JWKS document into the keys that one issuer's tokens may be verified with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm

from proxy.auth.reasons import Reason
from proxy.errors import Unauthenticated

MAX_KEYS: Final = 64
MAX_KEY_ID: Final = 128  # characters

# RFC 7518 sections 3.3-3.5, RFC 8037 section 3.1, RFC 8812 section 3.2. Symmetric keys are left out: no published document
# may hold a secret.
_KEY_TYPES: Final[dict[str, tuple[str, str | None]]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "ES256K": ("EC", "secp256k1"),
    "EdDSA": ("OKP", "Ed25519"),
}
_UNREADABLE: Final = (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError)


class JwksError(Exception):
    """The issuer's keys could not be fetched or read. Never reaches a client; its text is ours alone."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """One public key. `algorithms` are those of the issuer that it serves, narrowed by its own `alg`."""

    key_id: str | None
    algorithms: tuple[str, ...]
    material: Any = field(repr=False)  # as PyJWT takes it: a key object of `cryptography`, or the bytes of a shared secret


class KeySet:
    """The usable keys of one document; never changed, only replaced."""

    def __init__(self, keys: tuple[VerifyingKey, ...]) -> None:
        self._keys = keys
        self._by_id: dict[str, list[VerifyingKey]] = {}
        for key in keys:
            if key.key_id is not None:
                self._by_id.setdefault(key.key_id, []).append(key)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._by_id

    def select(self, key_id: str | None, algorithm: str) -> VerifyingKey:
        """Return the key for a token's `kid` and `alg`; without a `kid` only if there is no choice.

        Raises `Unauthenticated`.
        """
        named = self._keys if key_id is None else self._by_id.get(key_id, [])
        if not named or (key_id is None and len(named) > 1):
            raise Unauthenticated(Reason.UNKNOWN_KEY_ID, "no key id, and a choice of keys" if named else "no such key")
        for key in named:
            if algorithm in key.algorithms:
                return key
        raise Unauthenticated(Reason.ALGORITHM, "the key is not for this algorithm")


def read_keyset(document: bytes, algorithms: tuple[str, ...]) -> KeySet:
    """Read the first 64 keys of a JWKS *document*, leaving out what does not fit *algorithms*.

    Raises `JwksError` when nothing usable is left, so that a bad document never replaces good keys.
    """
    try:
        parsed = orjson.loads(document)
    except orjson.JSONDecodeError as exc:
        raise JwksError("not JSON") from exc
    listed = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(listed, list):
        raise JwksError("not a key set")
    keys = tuple(key for entry in listed[:MAX_KEYS] if (key := _read_key(entry, algorithms)) is not None)
    if not keys:
        raise JwksError("no usable key")
    return KeySet(keys)


def _read_key(entry: object, algorithms: tuple[str, ...]) -> VerifyingKey | None:
    if not isinstance(entry, dict) or not _is_public_signing_key(entry):
        return None
    key_id = entry.get("kid")
    if key_id is not None and (not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID):
        return None
    served = tuple(algorithm for algorithm in algorithms if _fits(entry, algorithm))
    if not served:
        return None
    try:
        material = jwt.PyJWK(entry, served[0]).key
        too_short = jwt.get_algorithm_by_name(served[0]).check_key_length(material)
    except _UNREADABLE:
        return None
    return None if too_short else VerifyingKey(key_id, served, material)


def _is_public_signing_key(entry: dict[str, Any]) -> bool:
    """Whoever publishes a private key (`d`) has lost it: nothing that it signed can be trusted."""
    operations = entry.get("key_ops")
    return (
        entry.get("use", "sig") == "sig"
        and "d" not in entry
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _fits(entry: dict[str, Any], algorithm: str) -> bool:
    kind = _KEY_TYPES.get(algorithm)
    if kind is None or entry.get("alg", algorithm) != algorithm:
        return False
    key_type, curve = kind
    return entry.get("kty") == key_type and (curve is None or entry.get("crv") == curve)
