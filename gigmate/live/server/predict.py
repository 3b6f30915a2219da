"""`POST /predict` plays to an uploaded song; `GET /practice.wav` gives one to play to."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from gigmate.errors import printable
from gigmate.live.server.answers import Refusal, documented
from gigmate.live.server.body import FIELD, receive_upload
from gigmate.live.server.jobs import Jobs
from gigmate.live.server.settings import ServeSettings

SEED_MAX = 2**32 - 1
_BLOCK_BYTES, _MAX_NOTES = 1 << 16, 600
_BASE = "http://127.0.0.1:8765"
_WAV: dict[int | str, dict[str, Any]] = {
    200: {"description": "16-bit WAV", "content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}}
}
_PLAYED = {
    200: {
        **_WAV[200],
        "headers": {
            "X-Gigmate-Notes": {
                "description": "what is odd about the song though it was taken, as `code: sentence; ...`",
                "schema": {"type": "string"},
                "example": "opposed_phase: the two channels cancel each other out",
            }
        },
    }
}
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "additionalProperties": False,
                    "properties": {
                        FIELD: {
                            "type": "string",
                            "format": "binary",
                            "description": "the song: WAV, FLAC, Ogg Vorbis or Opus, MP3, AIFF",
                        }
                    },
                }
            }
        },
    },
    "x-codeSamples": [
        {"lang": "shell", "source": f'curl -X POST "{_BASE}/predict" -F "{FIELD}=@in.wav" --output out.wav'},
        {"lang": "shell", "source": f'curl "{_BASE}/predict?instrument=bass&mix=true" -F "{FIELD}=@in.wav" -o mix.wav'},
    ],
}

Instrument = Literal["drums", "bass", "keys", "guitar", "lead", "other", "all"]
"""`gigmate.music.instruments.INSTRUMENTS`, as a type."""


class PredictQuery(BaseModel):
    """How the song is accompanied; the ranges are those of `generate.py`."""

    model_config = ConfigDict(extra="forbid")
    instrument: Instrument = Field("drums", description="what to play", examples=["bass"])
    seed: int = Field(0, ge=0, le=SEED_MAX, description="equal seeds give equal results", examples=[1])
    seconds: float | None = Field(
        None,
        ge=0.1,
        le=3600,
        allow_inf_nan=False,
        description="length of the answer; left out: that of the song",
        examples=[10.0],
    )
    lookahead_s: float | None = Field(
        None,
        ge=-10,
        le=10,
        allow_inf_nan=False,
        description="how far ahead the song is heard; left out: the most",
        examples=[-0.5],
    )
    guidance_scale: float = Field(
        2.0, ge=0, le=20, allow_inf_nan=False, description="how strictly it is followed", examples=[3.0]
    )
    louder_db: float = Field(
        0.0, ge=-24, le=24, allow_inf_nan=False, description="how much louder than usual, in dB", examples=[-6.0]
    )
    mix: bool = Field(False, description="answer song and stem together", examples=[True])


class PracticeQuery(BaseModel):
    """Which song the practice band plays, and who of it doesn't."""

    model_config = ConfigDict(extra="forbid")
    seed: int = Field(7_000_013, ge=0, le=SEED_MAX, description="which song", examples=[7_000_013])
    without: Instrument | None = Field(None, description="the player whose place is yours", examples=["drums"])
    seconds: float = Field(60.0, ge=5, le=300, allow_inf_nan=False, description="length", examples=[10.0])


def _once(request: Request) -> None:
    """Query parameters may be given once."""
    names = [name for name, _ in request.query_params.multi_items()]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Refusal(422, "twice", f"{twice} is given twice")


def predict_routes(settings: ServeSettings, predictions: Jobs, practice: Jobs) -> APIRouter:
    """The two routes; `predictions` and `practice` do their work."""
    router = APIRouter(dependencies=[Depends(_once)])

    @router.post(
        "/predict",
        summary="Play along with a song",
        response_class=Response,
        responses={**_PLAYED, **documented(400, 401, 403, 408, 413, 415, 421, 422, 431, 503)},
        openapi_extra=_UPLOAD,
    )
    async def predict(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        with predictions.place():
            folder = Path(tempfile.mkdtemp(prefix="gigmate-predict-"))
            task = {
                "kind": "predict",
                "input": str(folder / "song"),
                "output": str(folder / "out.wav"),
                "max_seconds": settings.max_seconds,
                **query.model_dump(),
            }
            try:
                await receive_upload(request, settings, folder / "song")
                if query.seconds is not None and query.seconds > settings.max_seconds:
                    raise Refusal(413, "too_long", f"more than {settings.max_seconds:g} s are asked for")
                facts = await _unless_left(request, predictions.run(task))
            except ClientDisconnect:
                shutil.rmtree(folder, ignore_errors=True)
                return Response(status_code=400)  # nobody reads it
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        notes = printable("; ".join(facts["notes"]), _MAX_NOTES).encode("ascii", "replace").decode()
        return _answer(
            folder, "stem.wav" if not query.mix else "mix.wav", {"X-Gigmate-Notes": notes} if notes else None
        )

    @router.get(
        "/practice.wav",
        summary="A song of the practice band",
        response_class=Response,
        responses={**_WAV, **documented(401, 403, 421, 422, 431, 503)},
    )
    async def practice_song(query: Annotated[PracticeQuery, Query()]) -> Response:
        with practice.place():
            folder = Path(tempfile.mkdtemp(prefix="gigmate-practice-"))
            task = {"kind": "practice", "output": str(folder / "out.wav"), "sample_rate": 24_000, **query.model_dump()}
            try:
                facts = await practice.run(task)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return _answer(folder, "practice.wav", {f"X-Gigmate-{name}": str(value) for name, value in facts.items()})

    return router


async def _unless_left(request: Request, work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """The result of `work`, which is cancelled when the client leaves.

    Raises:
        ClientDisconnect: it left.
    """

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(work), asyncio.create_task(leave())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


def _answer(folder: Path, name: str, headers: dict[str, str] | None = None) -> Response:
    """`out.wav` of the folder, which is removed at once: the file lives on until it is sent or the client has left."""
    file = open(folder / "out.wav", "rb")  # noqa: SIM115 (closed by `_blocks`)
    shutil.rmtree(folder, ignore_errors=True)
    num_bytes = os.fstat(file.fileno()).st_size
    own = {"Content-Length": str(num_bytes), "Content-Disposition": f'inline; filename="{name}"'}
    return StreamingResponse(_blocks(file), headers=own | (headers or {}), media_type="audio/wav")


async def _blocks(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while block := file.read(_BLOCK_BYTES):
            yield block
