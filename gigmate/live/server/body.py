"""An upload: one multipart field, written to disk as it arrives, its bytes counted before anything else."""

import asyncio
import logging
import time
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from gigmate.live.server.answers import Refusal
from gigmate.live.server.settings import ServeSettings

log = logging.getLogger(__name__)

FIELD = "request"
MAX_PARTS = 8
_MAX_PART_HEADERS, _MAX_PART_HEADER_BYTES = 8, 4096


async def receive_upload(request: Request, settings: ServeSettings, path: Path) -> None:
    """Write the file in the field `request` of a multipart body to `path`.

    Raises:
        Refusal: 400 malformed, 408 too slow, 413 too large, 415 another type or encoding, 422 no file or several.
        ClientDisconnect: the client left.
    """
    boundary = _boundary(request)
    limit = settings.max_upload_bytes
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    pace = _Pace(settings)
    try:
        with open(path, "xb") as file:
            form = _Form(boundary, file)
            while True:
                data, is_last = await pace.receive(request)
                if pace.num_bytes > limit:
                    log.info("an upload is refused after %d bytes", pace.num_bytes)
                    raise _too_large(limit)
                form.feed(data)
                if is_last:
                    break
            form.finish()
    except FormParserError as error:
        raise Refusal(400, "malformed", "the body isn't multipart/form-data") from error
    except OSError as error:
        raise Refusal(503, "disk", "no room for the upload") from error


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "too_large", f"the body has more than {limit} bytes")


def _boundary(request: Request) -> bytes:
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refusal(415, "encoding", "send the body uncompressed")
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise Refusal(415, "content_type", f"send multipart/form-data with the audio file in the field {FIELD!r}")
    if not (boundary := options.get(b"boundary")):
        raise Refusal(400, "malformed", "the content type names no boundary")
    return boundary


class _Pace:
    """How fast a body comes: a mean rate, after a time of grace."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings, self._start_s = settings, time.monotonic()
        self.num_bytes = 0

    async def receive(self, request: Request) -> tuple[bytes, bool]:
        """The next bytes, counted, and whether they are the last."""
        allowed_s = self._settings.slow_s + self.num_bytes / self._settings.min_bytes_per_s
        left_s = self._start_s + allowed_s - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                message = await request.receive()
        except TimeoutError as error:
            raise Refusal(408, "slow", f"the body came slower than {self._settings.min_bytes_per_s} B/s") from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        data: bytes = message.get("body", b"")
        self.num_bytes += len(data)
        return data, not message.get("more_body", False)


class _Form:
    """The parts of a multipart body: exactly one, the file."""

    def __init__(self, boundary: bytes, file: BinaryIO) -> None:
        self._file, self._num_parts, self._has_file, self._is_over = file, 0, False, False
        self._name, self._value, self._disposition = b"", b"", b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_end": self._on_end,
            },
            max_header_count=_MAX_PART_HEADERS,
            max_header_size=_MAX_PART_HEADER_BYTES,
        )

    def feed(self, data: bytes) -> None:
        """Parse the next bytes."""
        if data:
            self._parser.write(data)

    def finish(self) -> None:
        """The body is at its end; judge what came."""
        self._parser.finalize()
        if not self._is_over:
            raise Refusal(400, "malformed", "the body ends before its last boundary")
        if not self._has_file:
            raise Refusal(422, "no_file", f"there is no file in the field {FIELD!r}")

    def _on_part(self) -> None:
        self._num_parts += 1
        self._disposition = b""
        if self._num_parts > MAX_PARTS:
            raise Refusal(413, "too_many_parts", f"the body has more than {MAX_PARTS} parts")

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") != FIELD.encode():
            raise Refusal(422, "field", f"the only field is {FIELD!r}, a file")
        if self._has_file:
            raise Refusal(422, "two_files", f"the field {FIELD!r} is there twice")
        self._has_file = True

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._file.write(memoryview(data)[start:end])

    def _on_end(self) -> None:
        self._is_over = True
