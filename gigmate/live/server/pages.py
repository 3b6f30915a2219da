"""The page and its files, and a small page that lists what the server answers (`/docs`).

FastAPI's own documentation pages load scripts from elsewhere; this one works without a network, and a page that may use
the microphone loads nothing from strangers.
"""

import asyncio
import html
import mimetypes
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gigmate.live.server.answers import Refusal
from gigmate.live.server.guard import COOKIE, cookie_of, is_same

WEB = Path(str(files("gigmate.live"))) / "web"
_TYPES = MappingProxyType(
    {
        ".js": "text/javascript; charset=utf-8",
        ".webmanifest": "application/manifest+json",
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)


_FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><title>GigMate</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/static/style.css">
<main><h1>GigMate</h1><form method="post" action="/token"><p><label>This server asks for its token, which whoever
started it has chosen: <input name="token" type="password" autocomplete="current-password" required autofocus></label>
<button>Go on</button></p></form></main></html>"""
_MAX_FORM_BYTES, _FORM_S = 2_048, 10.0


def page_routes(app: FastAPI, token: str | None, web: Path = WEB) -> APIRouter:
    """`/`, `/static/...`, `/sw.js`, `/docs`, and `/token`, where a browser shows the token that it must have."""
    router = APIRouter(include_in_schema=False)
    known = {path.relative_to(web).as_posix(): path for path in sorted(web.rglob("*")) if path.is_file()}

    @router.get("/")
    async def page(request: Request) -> Response:
        return _file(known, "index.html") if request.state.has_token else RedirectResponse("/token", 303)

    @router.get("/token")
    async def ask() -> Response:
        return HTMLResponse(_FORM)

    @router.post("/token")
    async def take(request: Request) -> Response:
        given = parse_qs(await _small_body(request)).get(b"token", [b""])[0].decode("utf-8", "replace")
        if token is None or not is_same(given, token):
            raise Refusal(401, "token", "that isn't this server's token; go back and try again")
        response = RedirectResponse("/", 303)
        response.set_cookie(COOKIE, cookie_of(token), httponly=True, samesite="strict")
        return response

    @router.get("/sw.js")
    async def service_worker() -> Response:
        return _file(known, "sw.js")

    @router.get("/favicon.ico")
    async def icon() -> Response:
        return _file(known, "icon.svg")

    @router.get("/static/{name:path}")
    async def static(name: str) -> Response:
        return _file(known, name)

    @router.get("/docs")
    async def docs(request: Request) -> Response:
        return HTMLResponse(_docs(app.openapi(), str(request.base_url)))

    return router


async def _small_body(request: Request) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(_FORM_S):
            async for part in request.stream():
                body += part
                if len(body) > _MAX_FORM_BYTES:
                    raise Refusal(413, "too_large", f"the body has more than {_MAX_FORM_BYTES} bytes")
    except TimeoutError as error:
        raise Refusal(408, "slow", f"the body took more than {_FORM_S:g} s") from error
    return body


def _file(known: dict[str, Path], name: str) -> Response:
    """A file that was there when the server started: no name from outside ever becomes a path."""
    if name not in known:
        raise Refusal(404, "not_found", "there is nothing of that name")
    path = known[name]
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {"Cache-Control": "no-cache", "Service-Worker-Allowed": "/"}
    return Response(path.read_bytes(), headers=headers, media_type=kind)


def _docs(schema: dict[str, Any], base_url: str) -> str:
    parts = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            rows = "".join(_row(parameter) for parameter in operation.get("parameters", []))
            codes = ", ".join(operation["responses"])
            samples = "".join(
                f"<pre>{html.escape(sample['source'].replace('http://127.0.0.1:8765/', base_url))}</pre>"
                for sample in operation.get("x-codeSamples", [])
            )
            parts.append(
                f"<h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{html.escape(operation['summary'])}</p>"
                f"{samples}<table>{rows}</table><p>Answers: {codes}</p>"
            )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>GigMate: HTTP interface</title>'
        '<link rel="stylesheet" href="/static/style.css"><main><h1>HTTP interface</h1>'
        '<p>The machine-readable form is <a href="/openapi.json">openapi.json</a>; '
        f"the live socket is described in gigmate/live/PROTOCOL.md.</p>{''.join(parts)}</main></html>"
    )


def _row(parameter: dict[str, Any]) -> str:
    default = parameter["schema"].get("default")
    cells = (parameter["name"], parameter.get("description", ""), "" if default is None else f"default {default}")
    return "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>"
