"""Keys, tokens and a key server for the tests of authentication."""

from __future__ import annotations

import asyncio
import functools
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key

from proxy.auth import Credential

NOW = 1_800_000_000.0
ISSUER = "https://login.example.com/"
AUDIENCE = "llm-proxy"

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@functools.cache
def rsa_key(name: str = "first", bits: int = 2048) -> RSAPrivateKey:
    return generate_rsa_key(65537, bits)


@functools.cache
def ec_key(curve: type[EllipticCurve] = SECP256R1) -> EllipticCurvePrivateKey:
    return generate_private_key(curve())


@functools.cache
def ed_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def p384_key() -> EllipticCurvePrivateKey:
    return ec_key(SECP384R1)


def jwk(key: PrivateKey, kid: str | None = "k1", **members: object) -> dict[str, Any]:
    """Publish the public half of *key*; a member given as None is left out."""
    public: dict[str, Any]
    if isinstance(key, RSAPrivateKey):
        public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, EllipticCurvePrivateKey):
        public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        public = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    published = {**public, "use": "sig", "kid": kid, **members}
    return {name: value for name, value in published.items() if value is not None}


def document(*keys: object) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def claims(**changed: object) -> dict[str, Any]:
    """Return the claims of a good token; one given as None is left out."""
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "iat": int(NOW), "exp": int(NOW) + 3600, **changed}
    return {name: value for name, value in good.items() if value is not None}


def mint(key: Any, algorithm: str, *, kid: str | None = "k1", header: dict[str, object] | None = None, **changed: object) -> str:
    """Sign a token whose claims are good except for what is *changed*."""
    headers = {**({} if kid is None else {"kid": kid}), **(header or {})}
    return jwt.encode(claims(**changed), key, algorithm, headers=headers)


def bearer(token: str) -> Credential:
    return Credential("authorization", token)


def random_kid() -> str:
    return secrets.token_hex(8)


class KeyServer:
    """A real HTTP server with a key document; it counts what it is asked and can be held up."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.hits = 0
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.response_headers: dict[str, str] = {}
        self.body = document(*keys)
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self.url = ""

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = document(*keys)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.hits += 1
        self.headers.append(dict(request.headers))
        self.asked.set()
        await self.open.wait()
        return web.Response(status=self.status, body=self.body, headers=self.response_headers)


@asynccontextmanager
async def serving(*keys: dict[str, Any]) -> AsyncIterator[KeyServer]:
    server = KeyServer(*keys)
    app = web.Application()
    app.router.add_get("/jwks.json", server.answer)
    app.router.add_get("/elsewhere.json", server.answer)
    async with TestServer(app, host="127.0.0.1") as running:
        server.url = str(running.make_url("/jwks.json"))
        yield server
        server.open.set()
