"""Who may do what, and what nobody may see: P23, P28, P29, P32, allow-lists, and where a credential may stand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proxy.settings import Settings
from tests.integration.asking import BUSY, GOOD, ask, look
from tests.support.client import Response
from tests.support.house import BEARER, CHAT, KEY, House, chat, open_house, settings
from tests.support.upstream import Gate, Hang, RequestSeen, Rst, Upstream, answer, stream, verbatim
from tests.unit.auth.issuing import AUDIENCE, ISSUER, ec_key, jwk, mint, random_kid, rsa_key

OTHER_KEY = "lp_test_of_another_tenant_0123456789"
JSON = {"ok": True}


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def bearer(token: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {token}")]


def token(key: Any = None, algorithm: str = "ES256", **changed: Any) -> str:
    """Sign a token that is good at this moment except for what is *changed*."""
    now = int(time.time())
    return mint(ec_key() if key is None else key, algorithm, **{"iat": now, "exp": now + 600, **changed})


def issuing(jwks: Upstream, **changes: Any) -> list[dict[str, Any]]:
    """Return the configuration of an issuer whose keys are published at *jwks*."""
    entry = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["ES256"], "jwks_url": f"{jwks.url}/jwks.json"}
    return [{**entry, **changes}]


def keys_of(*entries: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of API keys; each entry's `key` is hashed."""
    return {"api_keys": [{"sha256": digest(entry["key"]), **{k: v for k, v in entry.items() if k != "key"}} for entry in entries]}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def jwks() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        running.always(answer({"keys": [jwk(ec_key())]}))
        yield running


@asynccontextmanager
async def with_issuer(upstream: Upstream, jwks: Upstream, **changes: Any) -> AsyncIterator[House]:
    """Run a proxy that accepts tokens, once it has fetched the keys."""
    async with open_house(settings(upstream.url, auth={"jwt": issuing(jwks, **changes)})) as house:
        await jwks.request()
        await look(house, "/auth/ping", bearer(token()))
        yield house


def uniform(response: Response) -> tuple[Any, ...]:
    """Return what of a refusal could tell one reason from another."""
    text = bytes(response.body).replace((response.header("x-request-id") or "").encode(), b"")
    headers = [pair for pair in response.head.headers if pair[0].lower() not in (b"x-request-id", b"date")]
    return response.head.start, headers, text


# Tenants apart.


async def test_p23_cookies_of_one_tenant_reach_that_one_and_no_other(upstream: Upstream) -> None:
    upstream.script(answer(JSON, headers=[("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2")]), answer(JSON), answer(JSON))
    async with open_house(
        settings(upstream.url, auth=keys_of({"id": "one", "key": KEY}, {"id": "two", "key": OTHER_KEY}))
    ) as house:
        first = await ask(house)
        other = await ask(house, headers=bearer(OTHER_KEY))
        again = await ask(house)

        assert first.head.header_values("set-cookie") == ["a=1; Path=/", "b=2"]
        assert (other.head.header_values("set-cookie"), again.head.header_values("set-cookie")) == ([], [])
        assert [request.header("cookie") for request in upstream.requests] == [None] * 3
        assert [record["subject"] for record in await house.records(3)] == ["one", "two", "one"]


async def test_cut_answer_of_one_tenant_never_runs_into_anothers(upstream: Upstream) -> None:
    """The connection under it is closed, whatever still comes on it."""
    upstream.script(stream(b"data: secret of one\n\n", Gate("left"), b"data: more of it\n\n", Hang()), GOOD)
    async with open_house(settings(upstream.url)) as house:
        async with house.client() as client:
            response = await client.request("POST", CHAT, BEARER, chat())
            await response.read_until(b"secret")
        await upstream.closed(0)
        upstream.open("left")

        following = await ask(house)

        assert b"of one" not in following.body
        assert [request.connection for request in upstream.requests] == [0, 1]


async def test_bytes_behind_an_answer_are_nobodys(upstream: Upstream) -> None:
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    upstream.script(verbatim(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + extra), answer(JSON))
    async with open_house(settings(upstream.url)) as house:
        first, second = await ask(house), await ask(house)

        assert (bytes(first.body), second.json()) == (b"{}", JSON)
        assert [request.connection for request in upstream.requests] == [0, 1]


# Tokens.


def forged_with_public_key() -> str:
    """Sign as HMAC with what everybody knows, which PyJWT itself refuses to do."""
    pem = ec_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256", "kid": "k1"}, _claims())
    )
    signature = base64.urlsafe_b64encode(hmac.digest(pem, head + b"." + body, "sha256")).rstrip(b"=")
    return b".".join((head, body, signature)).decode()


def _claims() -> dict[str, Any]:
    return jwt.decode(token(), options={"verify_signature": False})


BAD_TOKENS = {
    "expired": (lambda: token(iat=int(time.time()) - 700, exp=int(time.time()) - 60), "expired"),
    "wrong audience": (lambda: token(aud="another"), "wrong_audience"),
    "wrong issuer": (lambda: token(iss="https://evil.example/"), "unknown_issuer"),
    "no signature": (lambda: jwt.encode(_claims(), "", algorithm="none", headers={"kid": "k1"}), "algorithm_not_allowed"),
    "HMAC with the public key": (forged_with_public_key, "algorithm_not_allowed"),
    "another family": (lambda: token(rsa_key(), "RS256"), "algorithm_not_allowed"),
    "unknown key id": (lambda: token(kid="k2"), "unknown_key_id"),
    "another key": (lambda: token(generate_private_key(SECP256R1())), "bad_signature"),
    "no expiry": (lambda: token(exp=None), "missing_claim"),
    "no subject": (lambda: token(sub=None), "missing_claim"),
    "no audience": (lambda: token(aud=None), "missing_claim"),
    "not yet": (lambda: token(nbf=int(time.time()) + 300), "not_yet_valid"),
    "too long": (lambda: token(exp=int(time.time()) + 30 * 86400), "lifetime_too_long"),
    "not a token": (lambda: "a.b.c", "malformed_token"),
    "an API key that nobody has": (lambda: "lp_nobody", "unknown_api_key"),
}


@pytest.mark.parametrize(("make", "reason"), BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_p28_bad_token_is_refused_like_every_other(upstream: Upstream, jwks: Upstream, make: Any, reason: str) -> None:
    async with with_issuer(upstream, jwks) as house:
        reference = await ask(house, headers=[])

        response = await ask(house, headers=bearer(make()))

        assert (response.status, response.json()["error"]["code"]) == (401, "invalid_credentials")
        assert (response.header("www-authenticate") or "").startswith("Bearer")
        assert uniform(response) == uniform(reference), "the reason is for the operator only"
        record = (await house.records(3))[-1]
        assert (record["outcome"], record["auth_failure"]) == ("rejected_auth", reason)
        assert await house.metric("llm_proxy_auth_failures_total", reason=reason) == 1
        assert upstream.connections == []


async def test_good_token_is_served_under_its_subject(upstream: Upstream, jwks: Upstream) -> None:
    upstream.script(answer(JSON))
    async with with_issuer(upstream, jwks) as house:
        response = await ask(house, headers=bearer(token(sub="user-7")))

        assert response.status == 200
        assert (await house.records(2))[1]["subject"] == "user-7"


async def test_p29_flood_of_unknown_key_ids_does_not_reach_the_issuer(upstream: Upstream, jwks: Upstream) -> None:
    upstream.always(answer(JSON))
    async with with_issuer(upstream, jwks) as house, house.client() as client:
        good, statuses = bearer(token()), []
        began = time.monotonic()
        for number in range(50):
            bad = await client.request("GET", "/auth/ping", bearer(token(kid=random_kid())))
            await bad.read()
            statuses.append(bad.status)
            if number % 10 == 0:
                fine = await client.request("GET", "/auth/ping", good)
                await fine.read()
                statuses.append(fine.status)

        assert statuses == [200 if number % 11 == 1 else 401 for number in range(55)]
        assert len(jwks.requests) <= 2
        assert time.monotonic() - began < 25, "the issuer may be asked again after 30 s"


async def test_keys_are_kept_through_an_outage_of_the_issuer(upstream: Upstream, jwks: Upstream) -> None:
    async with with_issuer(upstream, jwks) as house:
        await jwks.stop()

        refused = await look(house, "/auth/ping", bearer(token(kid="k2")))
        served = await look(house, "/auth/ping", bearer(token(sub="another")))

        assert (refused.status, served.status) == (401, 200)


# Where a credential may stand.


@pytest.mark.parametrize("header", ["Authorization", "authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"])
async def test_credential_is_taken_from_each_accepted_header(upstream: Upstream, header: str) -> None:
    upstream.script(answer(JSON))
    value = f"Bearer {KEY}" if header.lower() == "authorization" else KEY
    async with open_house(settings(upstream.url)) as house:
        response = await ask(house, headers=[(header, value)])

        assert response.status == 200
        assert KEY.encode() not in (await upstream.request()).head.raw


@pytest.mark.parametrize(
    "headers",
    [
        [*BEARER, ("X-Api-Key", KEY)],
        [*BEARER, *BEARER],
        [("X-Api-Key", KEY), ("Api-Key", "other")],
        [*BEARER, ("X-Goog-Api-Key", "")],
        [("Authorization", f"Basic {base64.b64encode(KEY.encode()).decode()}")],
        [("Authorization", KEY)],
        [("Authorization", "")],
        [("X-Api-Key", "x" * 9000)],
        [("Cookie", f"token={KEY}")],
        [("Proxy-Authorization", f"Bearer {KEY}")],
        [],
    ],
    ids=["two places", "twice", "two keys", "one empty", "basic", "no scheme", "empty", "oversized", "cookie", "proxy", "none"],
)
async def test_anything_but_exactly_one_good_credential_is_refused(upstream: Upstream, headers: list[tuple[str, str]]) -> None:
    async with open_house(settings(upstream.url)) as house:
        response = await ask(house, headers=headers)

        assert (response.status, response.json()["error"]["code"]) == (401, "invalid_credentials")
        assert (await house.records())[0]["outcome"] == "rejected_auth"
        assert upstream.connections == []


@pytest.mark.parametrize(
    ("target", "method", "switched_on", "status"),
    [
        (f"/auth/ping?access_token={KEY}", "GET", True, 200),
        (f"/auth/ping?access%5Ftoken={KEY}", "GET", True, 200),
        (f"/auth/ping?access_token={KEY}", "GET", False, 401),
        (f"/auth/ping?access_token={KEY}", "HEAD", True, 401),
        (f"/auth/ping?access_token={KEY}&access_token={KEY}", "GET", True, 401),
        ("/auth/ping?access_token=", "GET", True, 401),
        (f"/auth/ping?key={KEY}", "GET", True, 401),
    ],
)
async def test_token_in_the_query_counts_only_where_it_is_switched_on(
    upstream: Upstream, target: str, method: str, switched_on: bool, status: int
) -> None:
    async with open_house(settings(upstream.url, auth={"query_token": switched_on})) as house:
        response = await look(house, target, [], method=method)

        assert response.status == status


@pytest.mark.parametrize("switched_on", [True, False])
async def test_credentials_in_a_query_are_stripped_before_it_is_forwarded(upstream: Upstream, switched_on: bool) -> None:
    upstream.script(answer(JSON))
    configured = settings(upstream.url, auth={"query_token": switched_on}, upstreams={"a": {"passthrough": ["/v1/files"]}})
    query = "?a=1&access_token=c4n4ry&a=&access%5ftoken=c4n4ry&ticket=c4n4ry&key=c4n4ry&b=%2B"
    async with open_house(configured) as house:
        headers = [] if switched_on else BEARER
        target = "/upstream/a/v1/files" + (f"?a=1&a=&access_token={KEY}&b=%2B" if switched_on else query)

        # a ticket is taken in a GET only, where it would be a second credential
        response = await look(house, target, headers, method="GET" if switched_on else "DELETE")

        assert response.status == 200
        assert (await upstream.request()).target == b"/v1/files?a=1&a=&b=%2B"


async def test_anonymous_use_takes_drops_and_forwards_no_credential(upstream: Upstream) -> None:
    """Whatever a client sends is accepted, ignored and dropped, also what would not be a credential."""
    upstream.always(answer(JSON))
    sent: tuple[list[tuple[str, str]], ...] = (
        [],
        bearer("sk-anything"),
        [("X-Api-Key", "c4n4ry"), ("Api-Key", "c4n4ry")],
        [("Authorization", "Basic c4n4ry")],
    )
    async with open_house(settings(upstream.url, auth={"allow_anonymous": True, "api_keys": []})) as house:
        statuses = [(await ask(house, headers=headers)).status for headers in sent]

        assert statuses == [200] * 4
        assert {request.header("authorization") for request in upstream.requests} == {"Bearer sk-upstream-a"}
        assert not any(b"c4n4ry" in request.head.raw or b"sk-anything" in request.head.raw for request in upstream.requests)
        assert {record["subject"] for record in await house.records(4)} == {"anonymous"}


async def test_credential_still_counts_where_anonymous_use_is_allowed_beside_it(upstream: Upstream) -> None:
    upstream.always(answer(JSON))
    async with open_house(settings(upstream.url, auth={"allow_anonymous": True})) as house:
        await ask(house)
        await ask(house, headers=bearer("wrong"))

        assert [record["subject"] for record in await house.records(2)] == ["tester", "anonymous"]


async def test_nothing_but_the_health_page_is_public(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url, upstreams={"a": {"passthrough": ["/v1"]}})) as house:
        paths = ["/v1/models", "/v1/models/gpt-test", "/auth/ping", "/test/stream", "/upstream/a/v1/files"]

        statuses = [(await look(house, path, [])).status for path in paths]

        assert statuses == [401] * 5
        assert (await look(house, "/healthz", [])).status == 200
        assert upstream.connections == []


# Allow-lists.


def with_lists(upstream: Upstream) -> Settings:
    """Return settings with one key for `gpt-*` and one for everything."""
    keys = keys_of({"id": "narrow", "key": KEY, "models": ["gpt-*"]}, {"id": "wide", "key": OTHER_KEY})
    targets = [{"upstream": "a"}]
    models = [{"name": "gpt-a", "targets": targets}, {"name": "o1", "targets": targets}, {"name": "*", "targets": targets}]
    return settings(upstream.url, auth=keys, models=models, upstreams={"a": {"passthrough": ["/v1/files"]}})


@pytest.mark.parametrize(
    ("path", "model"), [(CHAT, "o1"), (CHAT, "Gpt-a"), (CHAT, "x-gpt-a"), ("/v1/embeddings", "o1"), ("/v1/responses", "o1")]
)
async def test_model_outside_the_allow_list_is_refused(upstream: Upstream, path: str, model: str) -> None:
    async with open_house(with_lists(upstream)) as house:
        response = await ask(house, chat(model=model), target=path)

        assert (response.status, response.json()["error"]["code"]) == (403, "forbidden")
        record = (await house.records())[0]
        assert (record["outcome"], record["auth_failure"], record["subject"]) == ("rejected_auth", "model_not_allowed", "narrow")
        assert await house.metric("llm_proxy_auth_failures_total", reason="model_not_allowed") == 1
        assert upstream.connections == []


async def test_model_on_the_allow_list_is_served(upstream: Upstream) -> None:
    upstream.always(answer(JSON))
    async with open_house(with_lists(upstream)) as house:
        narrow = await ask(house, chat(model="gpt-a"))
        wide = await ask(house, chat(model="o1"), bearer(OTHER_KEY))

        assert (narrow.status, wide.status) == (200, 200)


async def test_model_in_a_form_is_held_against_the_allow_list_too(upstream: Upstream) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\no1\r\n--b--\r\n'
    async with open_house(with_lists(upstream)) as house:
        response = await ask(
            house, body, [*BEARER, ("Content-Type", "multipart/form-data; boundary=b")], target="/v1/audio/transcriptions"
        )

        assert (response.status, upstream.connections) == (403, [])


async def test_caller_limited_to_models_may_not_use_a_path_on_which_no_model_is_known(upstream: Upstream) -> None:
    upstream.script(answer(JSON))
    async with open_house(with_lists(upstream)) as house:
        narrow = await look(house, "/upstream/a/v1/files")
        wide = await look(house, "/upstream/a/v1/files", bearer(OTHER_KEY))

        assert (narrow.status, wide.status) == (403, 200)
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(("models", "status"), [(["gpt-*"], 200), (["o1"], 403), ([], 403), (None, 403)])
async def test_allow_list_of_a_token_comes_from_its_claim(
    upstream: Upstream, jwks: Upstream, models: list[str] | None, status: int
) -> None:
    if status == 200:
        upstream.script(answer(JSON))
    async with with_issuer(upstream, jwks, models_claim="models") as house:
        response = await ask(house, headers=bearer(token(models=models)))

        assert response.status == status


async def test_unknown_model_is_a_404_that_does_not_say_who_has_it(upstream: Upstream) -> None:
    async with open_house(settings(upstream.url)) as house:
        response = await ask(house, chat(model="c4n4ry-model"))

        assert (response.status, response.json()["error"]["code"]) == (404, "model_not_found")
        assert b"c4n4ry" not in response.body
        assert "c4n4ry" not in await house.admin("/metrics"), "what a client writes is never a label"


# P32: secrets.

CLIENT_KEY = "lp_c4n4ry_client_key_0123456789abcdef"
UPSTREAM_KEY = "sk-c4n4ry-upstream"
PLANTED = "c4n4ry"


def canary_settings(*upstreams: Upstream, jwks: Upstream) -> Settings:
    """Return settings in which every secret holds the canary, logging everything."""
    names = {
        name: {
            "api_key": UPSTREAM_KEY,
            "headers": {"X-Extra-Secret": "c4n4ry-extra"},
            "passthrough": ["/v1/files"],
        }
        for name in "ab"
    }
    return settings(
        *(upstream.url for upstream in upstreams),
        auth={**keys_of({"id": "tester", "key": CLIENT_KEY}), "jwt": issuing(jwks), "query_token": True},
        upstreams=names,
        log={"format": "json", "level": "debug"},
        streaming={"attempt_timeout": "300ms", "first_token_timeout": "600ms"},
        retry={"attempts": 2},
    )


PRIVATE = [("Cookie", "session=c4n4ry"), ("Referer", "https://app.example/?access_token=c4n4ry"), ("X-Custom-Secret", "c4n4ry")]


async def misuse(house: House) -> list[Response]:
    """Send the canary in every place in which a client may have a secret, well and badly formed; return the refusals."""
    good = [*bearer(CLIENT_KEY), *PRIVATE]
    files = "/upstream/a/v1/files"
    asked = [
        await ask(house, headers=good),
        await ask(house, headers=[*bearer("c4n4ry-wrong"), *PRIVATE]),
        await ask(house, headers=[*bearer(CLIENT_KEY), ("X-Api-Key", "c4n4ry")]),
        await ask(house, headers=[("Authorization", "Basic c4n4ry")]),
        await ask(house, headers=bearer(token(kid="c4n4ry"))),
        await ask(house, headers=bearer("c4n4ry.c4n4ry.c4n4ry")),
        await look(house, "/auth/ping?access_token=c4n4ry", []),
        await look(house, "/auth/ping?access_token=c4n4ry&ticket=c4n4ry", good),
        await look(house, f"{files}?access_token={CLIENT_KEY}", PRIVATE),
        await look(house, f"{files}/../?key=c4n4ry", good),
        await look(house, "/c4n4ry?c4n4ry", good),
        await look(house, "/upstream/c4n4ry/x", good),
        await look(house, "/test/stream?count=c4n4ry", good),
        await ask(house, b'{"model": c4n4ry}', good),
        await ask(house, b'{"c4n4ry": 1, "c4n4ry": 2, "model": "gpt-test", "model": "c4n4ry"}', good),
        await ask(house, b'{"model": "gpt-test", "stream": "c4n4ry"}', good),
    ]
    for start, line in itertools.product(
        ("GET /auth/ping", "GET /c4n4ry"), ("X-Key: c4n4ry\x00", "X-Key: c4n4ry\r\n c4n4ry", " c4n4ry: x")
    ):
        async with house.client() as client:
            await client.send(f"{start} HTTP/1.1\r\nHost: proxy\r\nAuthorization: Bearer {CLIENT_KEY}\r\n{line}\r\n\r\n".encode())
            response = await client.response()
            await response.read()
            asked.append(response)
    return asked


async def test_p32_planted_secrets_are_in_no_log_no_metric_and_no_error(jwks: Upstream) -> None:
    def reflecting(request: RequestSeen) -> Any:
        """Refuse our credential in words that repeat it, as providers do."""
        return answer({"error": {"message": f"Incorrect API key provided: {request.header('authorization')}"}}, 401)

    async with Upstream() as a, Upstream() as b:
        a.script(reflecting, answer(JSON), answer(BUSY, 500), stream(b"data: c4n4ry of an answer\n\n", Rst()), stream(Hang()))
        b.script(reflecting, verbatim(b"c4n4ry is not HTTP\r\n\r\n"), verbatim(Hang()))
        async with open_house(canary_settings(a, b, jwks=jwks)) as house:
            refusals = await misuse(house)
            refusals += [await ask(house, headers=[*bearer(CLIENT_KEY), *PRIVATE]) for _ in range(3)]
            shown = [await house.admin(page) for page in ("/metrics", "/upstreams", "/config", "/readyz")]
            await house.records(len(refusals))

            statuses = {response.status for response in refusals}
            assert {200, 400, 401, 404, 502, 504} <= statuses
            answered = b"".join(
                bytes(response.head.raw) + bytes(response.body) for response in refusals if response.status != 200
            )
            everything = answered.decode() + house.log_text() + "".join(shown) + repr(house.server.settings)
            assert PLANTED not in everything
            assert "eyJ" not in everything, "a token, though in part"


async def test_p32_secrets_of_the_configuration_are_masked_where_it_is_shown(upstream: Upstream) -> None:
    secret = "c4n4ry-" * 8
    configured = settings(
        upstream.url,
        auth={"jwt": [{"issuer": "app", "audience": "x", "algorithms": ["HS256"], "secret": secret}]},
        upstreams={"a": {"api_key": UPSTREAM_KEY, "proxy": "http://user:c4n4ry@127.0.0.1:3128", "headers": {"X-Key": "c4n4ry"}}},
        usage={"store": "postgresql://user:c4n4ry@db/usage"},
    )
    async with open_house(configured) as house:
        shown = await house.admin("/config")

        assert PLANTED not in shown + repr(configured) + str(configured) + house.log_text()
        assert "***" in shown


async def test_what_a_connection_remembers_of_heads_is_never_another_request_s(upstream: Upstream) -> None:
    """A client that changes a header, or its credential, on a connection is asked and passed on with what it says now."""
    upstream.always(answer(JSON))
    told = [("1", KEY), ("1", KEY), ("1", KEY), ("2", KEY), ("2", "no")]
    bodies = [chat(stream=False, user="x" * number) for number in range(len(told))]
    statuses = []
    async with open_house(settings(upstream.url)) as house, house.client() as client:
        for (tag, key), body in zip(told, bodies, strict=True):
            response = await client.request("POST", CHAT, [("X-Tag", tag), *bearer(key)], body)
            await response.read()
            statuses.append(response.status)

    assert statuses == [200, 200, 200, 200, 401]
    assert [seen.header("x-tag") for seen in upstream.requests] == ["1", "1", "1", "2"]
    assert [seen.body for seen in upstream.requests] == bodies[:4]
