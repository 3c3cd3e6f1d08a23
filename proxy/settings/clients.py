"""Who may use the proxy: token issuers, API keys, tickets and browser origins."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, SecretStr, model_validator

from proxy.settings.fields import (
    CookieName,
    Count,
    Digest,
    Duration,
    Flag,
    KeysUrl,
    Label,
    NamePattern,
    PositiveDuration,
    Secret,
    Section,
    Text,
    WebOrigin,
)

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES256K", "ES384", "ES512", "EdDSA"
]  # fmt: skip

# RFC 7518 section 3.2: a key at least as long as the hash.
_SHORTEST_SECRET: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_FAMILIES: Final = {"HS": "HS", "RS": "RS and PS", "PS": "RS and PS", "ES": "ES", "Ed": "EdDSA"}


class JwtIssuer(Section):
    """An issuer of JSON Web Tokens and the one source of its keys."""

    issuer: Text
    audience: Text
    algorithms: tuple[Algorithm, ...] = Field(min_length=1)
    jwks_url: KeysUrl | None = None
    secret: Secret = SecretStr("")
    secret_file: Text | None = None
    leeway: Duration = 30.0
    models_claim: Text | None = None

    @property
    def symmetric(self) -> bool:
        """Whether tokens are signed with the shared secret."""
        return self.algorithms[0].startswith("HS")

    @model_validator(mode="after")
    def _one_family_one_key(self) -> Self:
        families = sorted({_FAMILIES[algorithm[:2]] for algorithm in self.algorithms})
        if len(families) > 1:
            raise ValueError(
                f"algorithms must be of one family, not of {' and of '.join(families)}: use one issuer entry for each"
            )
        if bool(self.secret) == (self.jwks_url is not None):
            raise ValueError("expected exactly one of secret (or secret_file) and jwks_url")
        if self.symmetric != bool(self.secret):
            raise ValueError("HS algorithms need secret, all others need jwks_url")
        if self.symmetric:
            self._check_secret_length()
        return self

    def _check_secret_length(self) -> None:
        least = max(_SHORTEST_SECRET[algorithm] for algorithm in self.algorithms)
        if len(self.secret.get_secret_value().encode()) < least:
            raise ValueError(
                f"the secret needs at least {least} bytes for these algorithms, for example from `openssl rand -hex {least}`"
            )


class ApiKey(Section):
    """An API key, known by its SHA-256 only. `models` None: every model."""

    id: Label
    sha256: Digest
    models: tuple[NamePattern, ...] | None = None
    max_streams: Count | None = None


class Tickets(Section):
    """Short-lived single-use stand-ins for a credential."""

    ttl: PositiveDuration = 30.0


class Auth(Section):
    """How clients prove who they are."""

    allow_anonymous: Flag = False
    jwt: tuple[JwtIssuer, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()
    tickets: Tickets = Tickets()
    cookie: CookieName | None = None
    query_token: Flag = False

    @property
    def configured(self) -> bool:
        """Whether there is any credential that a client could present."""
        return bool(self.jwt or self.api_keys)


class Cors(Section):
    """Which browser origins may read answers."""

    origins: tuple[WebOrigin, ...] = ()
    max_age: Duration = 600.0
