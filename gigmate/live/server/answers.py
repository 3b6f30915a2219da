"""What the server says when it refuses: one shape of JSON for every error, and the code table of RELIABILITY."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from pydantic import BaseModel, Field
from starlette.responses import Response

from gigmate.errors import GigmateError, InputError, MachineError, UsageError, printable

RETRY_AFTER_S = 5
_UNSUPPORTED = ("unrecognised", "bad_subtype")
_TOO_LARGE = ("too_long",)


class ErrorText(BaseModel):
    """What was wrong."""

    code: str = Field(description="short stable name of the case", examples=["too_large"])
    message: str = Field(description="for people", examples=["more than 67108864 bytes"])
    request_id: str = Field(description="also in the header X-Request-Id", examples=["5f3c9a01d2b7e640"])


class ErrorBody(BaseModel):
    """The body of every answer that isn't a success."""

    error: ErrorText


class Refusal(Exception):  # noqa: N818 (what it is for)
    """A request that gets an error for an answer.

    Args:
        status: HTTP status.
        code: short stable name of the case.
        message: for people; no path of the server.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message


def draining() -> Refusal:
    """The answer to what is asked of a server that is about to stop."""
    return Refusal(503, "draining", "the server is about to stop")


def refusal_of(error: GigmateError) -> Refusal:
    """The answer to an error of ours; what it says names no path of the server."""
    message = "; ".join(printable(part, 200) for part in (error.what, error.remedy) if part)
    if isinstance(error, InputError):
        status = 413 if error.code in _TOO_LARGE else 415 if error.code in _UNSUPPORTED else 422
    elif isinstance(error, UsageError):
        status = 422
    else:
        status = 503 if isinstance(error, MachineError) else 500
    return Refusal(status, error.code, message)


def error_response(refusal: Refusal, request_id: str) -> Response:
    """The answer with its JSON body."""
    body, headers = error_parts(refusal, request_id)
    return Response(body, refusal.status, headers, "application/json")


def error_parts(refusal: Refusal, request_id: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the answer, for those who write it themselves."""
    text = ErrorText(code=refusal.code, message=printable(refusal.message, 600), request_id=request_id)
    headers = {"X-Request-Id": request_id, "Cache-Control": "no-store"}
    if refusal.status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json.dumps({"error": text.model_dump()}).encode(), headers


def documented(*statuses: int) -> Mapping[int | str, dict[str, object]]:
    """The `responses` of a route that may answer with these errors, for OpenAPI."""
    return {status: {"model": ErrorBody, "description": HTTPStatus(status).phrase} for status in sorted(statuses)}
