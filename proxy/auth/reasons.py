"""Why a credential was refused: the closed set of words for the log and for `llm_proxy_auth_failures_total{reason}`."""

from __future__ import annotations

import enum
from typing import Final


class Reason(enum.StrEnum):
    """One word per way to fail. Clients never see it: their answer is uniform."""

    # the place and the shape of the credential
    MISSING = "missing"
    SEVERAL = "several_credentials"
    SCHEME = "unsupported_scheme"
    SIGV4 = "sigv4"
    EMPTY = "empty_credential"
    OVERSIZED = "oversized_credential"
    MALFORMED = "malformed_credential"
    # what only browsers send
    TICKET_UNKNOWN = "unknown_ticket"
    TICKET_USED = "used_ticket"
    TICKET_EXPIRED = "expired_ticket"
    TICKET_PATH = "ticket_for_another_path"
    TICKET_ORIGIN = "ticket_for_another_origin"
    COOKIE_ORIGIN = "cookie_from_another_origin"
    # API keys
    UNKNOWN_API_KEY = "unknown_api_key"
    # JWTs
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105 - a word, not a password
    UNKNOWN_ISSUER = "unknown_issuer"
    ALGORITHM = "algorithm_not_allowed"
    UNKNOWN_KEY_ID = "unknown_key_id"
    KEYS_UNAVAILABLE = "keys_unavailable"
    SIGNATURE = "bad_signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    LIFETIME = "lifetime_too_long"
    AUDIENCE = "wrong_audience"
    MISSING_CLAIM = "missing_claim"
    BAD_CLAIM = "bad_claim"
    # a good credential that does not cover the request
    MODEL = "model_not_allowed"


REASONS: Final[frozenset[str]] = frozenset(reason.value for reason in Reason)
