"""The client's own doing: requests that cannot be served as they are."""

from __future__ import annotations

from proxy.errors.base import Kind, ProxyError, Retry
from proxy.exchange import Outcome


class RequestError(ProxyError):
    status = 400
    code = "invalid_request"
    kind = Kind.INVALID_REQUEST
    outcome = Outcome.REJECTED_REQUEST
    public = "The request is invalid."


class BadRequest(RequestError):
    """The request is malformed; `public` says what and how to mend it. `param` names the field."""

    def __init__(self, public: str, *, detail: str = "", param: str | None = None) -> None:
        super().__init__(detail, public=public)
        self.param = param


class Untranslatable(BadRequest):
    """A target of another API cannot honour `param`; one that comes after it may."""

    code = "unsupported_parameter"
    retry = Retry.SAFE


class Denied(RequestError):
    """A caller who may not do this; `reason` goes to the log and the metric only."""

    outcome = Outcome.REJECTED_AUTH

    def __init__(self, reason: str, detail: str = "", *, public: str | None = None) -> None:
        super().__init__(detail or reason, public=public)
        self.reason = reason


class Unauthenticated(Denied):
    """No valid credential. The answer is uniform."""

    status = 401
    code = "invalid_credentials"
    kind = Kind.AUTHENTICATION
    public = "Missing or invalid credentials."


class Forbidden(Denied):
    status = 403
    code = "forbidden"
    kind = Kind.PERMISSION
    public = "These credentials do not allow this request."


class NotFound(RequestError):
    status = 404
    code = "not_found"
    kind = Kind.NOT_FOUND
    public = "There is nothing at this path."


class ModelNotFound(NotFound):
    code = "model_not_found"
    public = "This model does not exist here."


class ApiNotServed(NotFound):
    """No backend of the model has the API that was asked for, and none can be asked in other words."""

    code = "api_not_served"
    public = "The backends of this model do not have this API."


class MethodNotAllowed(RequestError):
    status = 405
    code = "method_not_allowed"
    public = "This path does not serve this method."

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(public=f"This path serves {', '.join(allowed)} only.")
        self.allowed = allowed


class BodyTimeout(RequestError):
    status = 408
    code = "body_timeout"
    kind = Kind.TIMEOUT
    outcome = Outcome.REJECTED_LIMIT
    public = "The request body did not arrive in time."


class HeadersTimeout(RequestError):
    status = 408
    code = "header_timeout"
    kind = Kind.TIMEOUT
    outcome = Outcome.REJECTED_LIMIT
    public = "The request head did not arrive in time."


class BodyTooLarge(RequestError):
    status = 413
    code = "body_too_large"
    kind = Kind.TOO_LARGE
    outcome = Outcome.REJECTED_LIMIT
    public = "The request body is larger than this proxy accepts."


class UnsupportedMedia(RequestError):
    status = 415
    code = "unsupported_media"
    public = "The request body must be in UTF-8, without a content encoding; JSON goes with the content type of JSON."


class ExpectationFailed(RequestError):
    status = 417
    code = "expectation_failed"
    public = "The only expectation served is 100-continue."


class HeadersTooLarge(RequestError):
    status = 431
    code = "headers_too_large"
    kind = Kind.TOO_LARGE
    outcome = Outcome.REJECTED_LIMIT
    public = "The request head is larger than this proxy accepts."


class UnsupportedFraming(RequestError):
    status = 501
    code = "unsupported_framing"
    public = "This transfer encoding is not supported."


class UnsupportedVersion(RequestError):
    status = 505
    code = "unsupported_version"
    public = "Only HTTP/1.0 and HTTP/1.1 are spoken here."
