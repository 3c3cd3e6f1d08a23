"""Authentication: credential → principal, deny by default."""

from proxy.auth.authenticator import ANONYMOUS, Authenticator, Verifier
from proxy.auth.caller import Caller
from proxy.auth.credential import CREDENTIAL_HEADERS, Credential, find_credential, strip_credential_query
from proxy.auth.principal import Principal
from proxy.auth.reasons import REASONS, Reason

__all__ = [
    "ANONYMOUS",
    "CREDENTIAL_HEADERS",
    "REASONS",
    "Authenticator",
    "Caller",
    "Credential",
    "Principal",
    "Reason",
    "Verifier",
    "find_credential",
    "strip_credential_query",
]
