"""The FastAPI app: routes, errors in one shape, and the tasks that live as long as it does."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import WebSocketRoute

from gigmate.errors import GigmateError
from gigmate.live.server.answers import Refusal, documented, draining, error_response, refusal_of
from gigmate.live.server.guard import Guard
from gigmate.live.server.hub import Hub
from gigmate.live.server.jobs import Jobs
from gigmate.live.server.live_socket import LiveSocket
from gigmate.live.server.metrics import Metrics
from gigmate.live.server.pages import page_routes
from gigmate.live.server.predict import predict_routes
from gigmate.live.server.settings import ServeSettings
from gigmate.live.server.supervisor import WorkerLike

log = logging.getLogger(__name__)

LIVE_PATH = "/v1/live"
_HTTP_CODES = {404: ("not_found", "there is nothing at this path"), 405: ("method", "this path has other methods")}


class Health(BaseModel):
    """The process answers."""

    status: str = Field(examples=["ok"])
    version: str = Field(examples=["0.1.0"])


class Ready(BaseModel):
    """A new session would be taken."""

    status: str = Field(examples=["ready"])
    sessions: int = Field(examples=[1])
    capacity: int = Field(examples=[4])


def build_app(
    settings: ServeSettings, make_worker: Callable[[], WorkerLike], predictions: Jobs, practice: Jobs
) -> FastAPI:
    """The app, whose `state.hub` has the sessions; starting that is up to the caller.

    Args:
        settings: addresses, limits and times.
        make_worker: a new worker for the live sessions, not started.
        predictions: does the work of `POST /predict`.
        practice: renders the practice band.
    """
    metrics = Metrics()
    hub = Hub(make_worker, settings, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        probe = asyncio.create_task(metrics.probe())
        try:
            yield
        finally:
            await hub.stop()
            await asyncio.gather(predictions.stop(), practice.stop())
            probe.cancel()

    app = FastAPI(
        title="GigMate",
        version=version("gigmate"),
        summary="A virtual bandmate: it listens to music and plays a stem that fits.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.hub = hub
    app.add_middleware(Guard, settings=settings, count=metrics.count_answer)
    app.include_router(page_routes(app, settings.token))
    app.include_router(predict_routes(settings, predictions, practice), dependencies=[Depends(_unless_draining(hub))])
    app.router.routes.append(WebSocketRoute(LIVE_PATH, LiveSocket(hub, metrics)))
    _add_status(app, hub, metrics, predictions)
    _add_errors(app)
    return app


def _unless_draining(hub: Hub) -> Callable[[], Awaitable[None]]:
    async def judge() -> None:
        if hub.is_draining:
            raise draining()

    return judge


def _add_status(app: FastAPI, hub: Hub, metrics: Metrics, predictions: Jobs) -> None:
    @app.get("/health", summary="Whether the process answers", responses=dict(documented(403, 421, 431)))
    async def health() -> Health:
        return Health(status="ok", version=app.version)

    @app.get("/ready", summary="Whether a new session would be taken", responses=dict(documented(403, 421, 431, 503)))
    async def ready() -> Ready:
        if (refusal := hub.obstacle()) is not None:
            raise refusal
        return Ready(status="ready", sessions=hub.num_taken, capacity=hub.capacity)

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response, responses=_METRICS)
    async def figures() -> Response:
        metrics.capacity.set(hub.capacity)
        metrics.ready.set(hub.obstacle() is None)
        metrics.predictions.set(predictions.num_tasks)
        text, kind = metrics.text()
        return Response(text, media_type=kind)


_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "text format", "content": {"text/plain": {"schema": {"type": "string"}}}},
    **documented(401, 403, 421, 431),
}


def _add_errors(app: FastAPI) -> None:
    """Every error has the same shape, and a bug tells the client nothing but the request's id."""

    def answer(request: Request, refusal: Refusal) -> Response:
        return error_response(refusal, request.state.request_id)

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        return answer(request, error)

    @app.exception_handler(GigmateError)
    async def ours(request: Request, error: GigmateError) -> Response:
        return answer(request, refusal_of(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        faults = [f"{'.'.join(str(part) for part in fault['loc'][1:])}: {fault['msg']}" for fault in error.errors()]
        return answer(request, Refusal(422, "setting", "; ".join(faults[:5])))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        code, message = _HTTP_CODES.get(error.status_code, ("malformed", str(error.detail)))
        response = answer(request, Refusal(error.status_code, code, message))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        log.error("request %s: %r", request.state.request_id, error)
        return answer(request, Refusal(500, "bug", "that is a bug of the server; its log says more"))
