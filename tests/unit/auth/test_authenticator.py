"""One uniform refusal for every bad credential, and the right principal for every good one."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from proxy.auth import REASONS, Authenticator, Credential, Principal, RequestHead, TicketStore
from proxy.errors import Unauthenticated
from proxy.headers import noted
from proxy.settings import Auth
from tests.unit.auth.issuing import (
    AUDIENCE,
    ISSUER,
    NOW,
    Clock,
    KeyServer,
    bearer,
    claims,
    ec_key,
    ed_key,
    jwk,
    mint,
    random_kid,
    rsa_key,
    serving,
)

API_KEY = "pk_live_canary-api-key"
HS_SECRET = "canary-hs-secret-" + "s" * 32
KEY_CONFIG = {"id": "ci", "sha256": hashlib.sha256(API_KEY.encode()).hexdigest(), "models": ["gpt-*"], "max_streams": 20}


def authenticator(auth: dict[str, Any] | None = None, *, anonymous: bool = False, **more: Any) -> Authenticator:
    more = {"clock": Clock(), **more}
    return Authenticator(Auth.model_validate(auth or {}), anonymous=anonymous, default_max_streams=100, **more)


def issuer(url: str, algorithms: tuple[str, ...] = ("RS256",), name: str = ISSUER) -> dict[str, Any]:
    return {"issuer": name, "audience": AUDIENCE, "algorithms": algorithms, "jwks_url": url, "models_claim": "models"}


@asynccontextmanager
async def house(anonymous: bool = False) -> AsyncIterator[tuple[Authenticator, KeyServer]]:
    """Serve an authenticator with an RS256 issuer whose keys come over a real connection, and an API key."""
    async with serving(jwk(rsa_key())) as server:
        auth = authenticator({"jwt": [issuer(server.url)], "api_keys": [KEY_CONFIG]}, anonymous=anonymous)
        await auth.start()
        try:
            yield auth, server
        finally:
            await auth.close()


async def refused(auth: Authenticator, credential: Credential | None, now: float = NOW) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        await auth.authenticate(credential, now)
    assert caught.value.reason in REASONS
    return caught.value


def signed_with_the_public_key() -> str:
    """The classic confusion: HMAC with the published RSA key as its secret."""
    public = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT", "kid": "k1"}, claims())]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(public, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + signature).decode()


P28: list[tuple[str, Callable[[], str], str]] = [
    ("expired", lambda: mint(rsa_key(), "RS256", iat=None, exp=int(NOW) - 31), "expired"),
    ("wrong aud", lambda: mint(rsa_key(), "RS256", aud="other"), "wrong_audience"),
    ("wrong iss", lambda: mint(rsa_key(), "RS256", iss="https://evil.example/"), "unknown_issuer"),
    ("alg none", lambda: mint(None, "none"), "algorithm_not_allowed"),
    ("HS-signed with the public key", signed_with_the_public_key, "algorithm_not_allowed"),
    ("unknown kid", lambda: mint(rsa_key(), "RS256", kid="nobody"), "unknown_key_id"),
    ("missing exp", lambda: mint(rsa_key(), "RS256", exp=None), "missing_claim"),
    ("another key", lambda: mint(rsa_key("second"), "RS256"), "bad_signature"),
    (
        "a leading key of its own",
        lambda: mint(rsa_key("second"), "RS256", header={"jwk": jwk(rsa_key("second"))}),
        "bad_signature",
    ),
]


@pytest.mark.parametrize(("make", "reason"), [row[1:] for row in P28], ids=[row[0] for row in P28])
async def test_p28_a_bad_token_is_refused_uniformly(make: Callable[[], str], reason: str) -> None:
    async with house() as (auth, _):
        error = await refused(auth, bearer(make()))

        assert error.reason == reason
        assert (error.status, error.code, error.public) == (401, "invalid_credentials", Unauthenticated.public)


@pytest.mark.parametrize(("key", "algorithm"), [(rsa_key, "RS256"), (rsa_key, "PS256"), (ec_key, "ES256"), (ed_key, "EdDSA")])
async def test_a_token_of_every_public_key_family_is_accepted(key: Any, algorithm: str) -> None:
    async with serving(jwk(key())) as server:
        auth = authenticator({"jwt": [issuer(server.url, (algorithm,))]})
        await auth.start()

        principal = await auth.authenticate(bearer(mint(key(), algorithm, models=["gpt-*"])), NOW)

        assert principal == Principal(
            subject="user-1", method="jwt", models=("gpt-*",), max_streams=100, expires_at=NOW + 3600, issuer=ISSUER
        )
        await auth.close()


async def test_a_token_of_a_shared_secret_is_accepted() -> None:
    auth = authenticator({"jwt": [{"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["HS256"], "secret": HS_SECRET}]})

    principal = await auth.authenticate(bearer(mint(HS_SECRET, "HS256", kid=None)), NOW)

    assert (principal.subject, principal.models) == ("user-1", None)


async def test_a_key_of_one_issuer_signs_for_no_other() -> None:
    async with serving(jwk(rsa_key())) as ours, serving(jwk(rsa_key("second"))) as theirs:
        auth = authenticator({"jwt": [issuer(ours.url), issuer(theirs.url, name="https://theirs.example/")]})
        await auth.start()

        error = await refused(auth, bearer(mint(rsa_key("second"), "RS256")))
        principal = await auth.authenticate(bearer(mint(rsa_key("second"), "RS256", iss="https://theirs.example/")), NOW)

        assert error.reason == "bad_signature"
        assert principal.subject == "user-1"
        await auth.close()


async def test_p29_random_key_ids_cost_the_issuer_two_fetches_at_most() -> None:
    async with house() as (auth, server):
        good = bearer(mint(rsa_key(), "RS256"))

        for _ in range(5):
            forged = [bearer(mint(rsa_key("second"), "RS256", kid=random_kid())) for _ in range(10)]
            answers = await asyncio.gather(
                *(auth.authenticate(token, NOW) for token in forged), auth.authenticate(good, NOW), return_exceptions=True
            )
            assert all(isinstance(answer, Unauthenticated) for answer in answers[:-1])
            assert isinstance(answers[-1], Principal)

        fresh = await auth.authenticate(bearer(mint(rsa_key(), "RS256", sub="user-2")), NOW)
        assert fresh.subject == "user-2"
        assert server.hits <= 2


async def test_starting_does_not_wait_for_the_keys() -> None:
    async with serving(jwk(rsa_key())) as server:
        server.open.clear()
        auth = authenticator({"jwt": [issuer(server.url)], "api_keys": [KEY_CONFIG]})

        await asyncio.wait_for(auth.start(), 1.0)
        principal = await asyncio.wait_for(auth.authenticate(Credential("x-api-key", API_KEY), NOW), 1.0)

        assert principal.subject == "ci"
        await asyncio.wait_for(server.asked.wait(), 5.0)
        await auth.close()


@pytest.mark.parametrize("place", ["authorization", "x-api-key", "api-key", "x-goog-api-key", "access_token"])
async def test_an_api_key_and_a_token_are_good_in_every_place(place: str) -> None:
    async with house() as (auth, _):
        by_key = await auth.authenticate(Credential(place, API_KEY), NOW)
        by_token = await auth.authenticate(Credential(place, mint(rsa_key(), "RS256")), NOW)

        assert by_key == Principal(subject="ci", method="api_key", models=("gpt-*",), max_streams=20)
        assert by_token.method == "jwt"


async def test_nothing_is_allowed_where_nothing_is_configured() -> None:
    auth = authenticator()

    reasons = [(await refused(auth, credential)).reason for credential in (None, bearer("x"), bearer("a.b.c"))]

    assert reasons == ["missing", "unknown_api_key", "unknown_api_key"]


async def test_an_api_key_with_two_dots_works_where_no_issuer_is_configured() -> None:
    digest = hashlib.sha256(b"a.b.c").hexdigest()
    auth = authenticator({"api_keys": [{"id": "dotted", "sha256": digest}]})

    principal = await auth.authenticate(bearer("a.b.c"), NOW)

    assert principal.subject == "dotted"


async def test_what_looks_like_a_token_is_no_api_key_where_an_issuer_is_configured() -> None:
    digest = hashlib.sha256(b"a.b.c").hexdigest()
    auth = authenticator(
        {
            "jwt": [{"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["HS256"], "secret": HS_SECRET}],
            "api_keys": [{"id": "dotted", "sha256": digest}],
        }
    )

    error = await refused(auth, bearer("a.b.c"))

    assert error.reason == "malformed_token"


async def test_where_anonymous_use_is_allowed_a_good_credential_still_counts() -> None:
    async with house(anonymous=True) as (auth, _):
        by_key = await auth.authenticate(bearer(API_KEY), NOW)
        by_token = await auth.authenticate(bearer(mint(rsa_key(), "RS256")), NOW)

        assert (by_key.method, by_token.method) == ("api_key", "jwt")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"Authorization", b"Bearer sk-somebody-elses")],
        [(b"Authorization", b"AWS4-HMAC-SHA256 Credential=AKIA")],
        [(b"Authorization", b"Bearer a"), (b"x-api-key", b"b")],
        [(b"x-api-key", b"\xff")],
        [(b"Authorization", b"Bearer a.b.c")],
    ],
)
async def test_where_anonymous_use_is_allowed_everything_else_is_ignored(headers: list[tuple[bytes, bytes]]) -> None:
    async with house(anonymous=True) as (auth, _):
        principal = await auth.identify(RequestHead(noted(headers), b"POST"), NOW)

        assert principal == Principal(subject="anonymous", method="anonymous", models=None, max_streams=100)


async def test_a_request_is_identified_by_the_credential_in_it() -> None:
    auth = authenticator({"api_keys": [KEY_CONFIG], "query_token": True})

    by_header = await auth.identify(RequestHead(noted([(b"Host", b"h"), (b"X-Api-Key", API_KEY.encode())]), b"POST"), NOW)
    by_query = await auth.identify(RequestHead(noted([]), query=b"access_token=" + API_KEY.encode()), NOW)

    assert by_header.subject == by_query.subject == "ci"


@pytest.mark.parametrize(
    ("headers", "query", "reason"),
    [
        ([], b"", "missing"),
        ([], b"access_token=" + API_KEY.encode(), "missing"),
        ([(b"x-api-key", b"a"), (b"api-key", b"a")], b"", "several_credentials"),
        ([(b"x-api-key", b"wrong")], b"", "unknown_api_key"),
    ],
    ids=["none", "query switched off", "several", "wrong"],
)
async def test_a_request_without_one_good_credential_is_refused(
    headers: list[tuple[bytes, bytes]], query: bytes, reason: str
) -> None:
    auth = authenticator({"api_keys": [KEY_CONFIG]})

    with pytest.raises(Unauthenticated) as caught:
        await auth.identify(RequestHead(noted(headers), query=query), NOW)

    assert caught.value.reason == reason


def test_keys_are_not_fetched_over_an_open_network() -> None:
    with pytest.raises(ValidationError):
        authenticator({"jwt": [issuer("http://login.example.com/jwks.json")]})


async def test_p32_no_secret_is_printed_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret_issuer = {"issuer": "hs", "audience": AUDIENCE, "algorithms": ["HS256"], "secret": HS_SECRET}
    good, forged = mint(rsa_key(), "RS256"), mint(rsa_key("second"), "RS256", kid="nobody")
    seen: list[object] = []
    async with serving(jwk(rsa_key())) as server:
        auth = authenticator({"jwt": [issuer(server.url), secret_issuer], "api_keys": [KEY_CONFIG], "query_token": True})
        await auth.start()
        for token in (API_KEY, API_KEY + "x", good, forged, mint(HS_SECRET, "HS256", iss="hs"), good[:-9] + "canaryxxx"):
            for headers, query in (([(b"x-api-key", token.encode())], b""), ([], b"access_token=" + token.encode())):
                try:
                    seen.append(await auth.identify(RequestHead(noted(headers), query=query), NOW))
                except Unauthenticated as error:
                    seen += [str(error), repr(error), error.detail, error.reason, error.public, error.__cause__]
        seen += [auth, *auth._verifiers, *auth._caches, *(vars(record) for record in caplog.records), caplog.text]
        await auth.close()

    text = " ".join(map(repr, seen))

    for secret in ("canary", good, forged, good.rpartition(".")[2], forged.rpartition(".")[2], HS_SECRET):
        assert secret not in text
    assert "'user-1'" in text


# Tickets and cookies.


APP = "https://app.example"
PATH = b"/api/v1/chat"


def with_cookie(*headers: tuple[bytes, bytes], method: bytes = b"GET") -> RequestHead:
    return RequestHead(noted([(b"Cookie", b"session=" + API_KEY.encode()), *headers]), method)


async def ticket(auth: Authenticator, token: str | None = API_KEY, now: float = NOW) -> bytes:
    """Ask for a ticket as a request does, and return it as a query."""
    headers = [] if token is None else [(b"Authorization", b"Bearer " + token.encode())]
    request = RequestHead(noted(headers), b"POST", b"/auth/tickets")
    return b"ticket=" + (await auth.issue(PATH, await auth.identify(request, now), request, now)).text.encode()


def redeeming(query: bytes, method: bytes = b"GET") -> RequestHead:
    return RequestHead({}, method, PATH, query)


async def failure(auth: Authenticator, request: RequestHead, now: float = NOW) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await auth.identify(request, now)
    assert (caught.value.status, caught.value.public) == (401, Unauthenticated.public)
    return caught.value.reason


async def test_the_bearer_of_a_ticket_is_who_asked_for_it() -> None:
    async with house() as (auth, _):
        by_key = await auth.identify(redeeming(await ticket(auth)), NOW)
        by_token = await auth.identify(redeeming(await ticket(auth, mint(rsa_key(), "RS256", models=["gpt-*"]))), NOW)

        assert by_key == Principal(subject="ci", method="api_key", models=("gpt-*",), max_streams=20)
        assert by_token == Principal(
            subject="user-1", method="jwt", models=("gpt-*",), max_streams=100, expires_at=NOW + 3600, issuer=ISSUER
        )
        assert by_key.slot == "api_key:ci"


async def test_a_ticket_is_no_better_than_the_token_it_was_given_for() -> None:
    """Also where the clock by which tickets end has stood still."""
    async with house() as (auth, _):
        query = await ticket(auth, mint(rsa_key(), "RS256", iat=None, exp=int(NOW) + 5))

        assert await failure(auth, redeeming(query), NOW + 36) == "expired"


async def test_a_ticket_is_good_under_the_next_configuration_with_what_that_allows() -> None:
    tickets = TicketStore()
    before = authenticator({"api_keys": [KEY_CONFIG]}, tickets=tickets)
    after = authenticator({"api_keys": [{**KEY_CONFIG, "models": ["mini"], "max_streams": 2}]}, tickets=tickets)

    principal = await after.identify(redeeming(await ticket(before)), NOW)

    assert principal == Principal(subject="ci", method="api_key", models=("mini",), max_streams=2)


async def test_a_configuration_that_takes_the_credential_away_takes_its_tickets_away() -> None:
    tickets = TicketStore()
    before, after = authenticator({"api_keys": [KEY_CONFIG]}, tickets=tickets), authenticator(tickets=tickets)

    assert await failure(after, redeeming(await ticket(before))) == "unknown_api_key"


async def test_an_anonymous_caller_s_ticket_is_good_only_as_long_as_anonymous_use_is_allowed() -> None:
    tickets = TicketStore()
    before, after = authenticator(anonymous=True, tickets=tickets), authenticator(tickets=tickets)
    queries = [await ticket(before, token) for token in (None, "ignored", None, "ignored")]

    assert [(await before.identify(redeeming(query), NOW)).method for query in queries[:2]] == ["anonymous"] * 2
    assert [await failure(after, redeeming(query)) for query in queries[2:]] == ["missing", "unknown_api_key"]


async def test_a_ticket_cannot_ask_for_a_ticket() -> None:
    auth = authenticator({"api_keys": [KEY_CONFIG]})

    assert await failure(auth, RequestHead({}, b"POST", b"/auth/tickets", await ticket(auth))) == "missing"


@pytest.mark.parametrize("origin", [[], [(b"Origin", APP.encode())], [(b"Origin", b"https://api"), (b"Host", b"api")]])
async def test_a_cookie_speaks_for_its_owner_on_pages_that_may_use_it(origin: list[tuple[bytes, bytes]]) -> None:
    auth = authenticator({"api_keys": [KEY_CONFIG], "cookie": "session"}, origins=[APP])

    assert (await auth.identify(with_cookie(*origin), NOW)).subject == "ci"


@pytest.mark.parametrize(
    ("origin", "method"), [([(b"Origin", b"https://evil.example")], b"GET"), ([], b"POST")], ids=["other page", "no origin"]
)
async def test_a_cookie_on_any_other_page_is_refused(origin: list[tuple[bytes, bytes]], method: bytes) -> None:
    auth = authenticator({"api_keys": [KEY_CONFIG], "cookie": "session"}, origins=[APP])

    assert await failure(auth, with_cookie(*origin, method=method)) == "cookie_from_another_origin"


async def test_a_header_on_any_page_needs_no_permission_for_the_cookie_beside_it() -> None:
    auth = authenticator({"api_keys": [KEY_CONFIG], "cookie": "session"})
    key = (b"X-Api-Key", API_KEY.encode())

    assert (await auth.identify(with_cookie((b"Origin", b"https://evil.example"), key), NOW)).subject == "ci"


async def test_without_cookie_mode_a_cookie_is_nothing() -> None:
    assert await failure(authenticator({"api_keys": [KEY_CONFIG]}, origins=[APP]), with_cookie()) == "missing"
