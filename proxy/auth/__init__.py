"""Authentication: credential → principal, deny by default."""

from proxy.auth.authenticator import ANONYMOUS, Authenticator, Verifier
from proxy.auth.caller import Caller
from proxy.auth.credential import CREDENTIAL_HEADERS, Credential, RequestHead, find_credential, strip_credential_query
from proxy.auth.desk import Issued
from proxy.auth.principal import Principal
from proxy.auth.reasons import REASONS, Reason
from proxy.auth.tickets import Ticket, Tickets, TicketStore, ticket_of

__all__ = [
    "ANONYMOUS",
    "CREDENTIAL_HEADERS",
    "REASONS",
    "Authenticator",
    "Caller",
    "Credential",
    "Issued",
    "Principal",
    "Reason",
    "RequestHead",
    "Ticket",
    "TicketStore",
    "Tickets",
    "Verifier",
    "find_credential",
    "strip_credential_query",
    "ticket_of",
]
