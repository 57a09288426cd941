"""The web server: five pages and two pictures, all GET, all made on the server.

It reads; it has no forms, no scripts and no cookies, and its pages ask no other machine for anything. It has no log-in
either: it listens where the operator says (this machine alone unless told otherwise) and answers only to names that it
was told, so that a page elsewhere cannot read it through a visitor's browser.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import structlog
import uvicorn
from clickhouse_connect.driver.exceptions import Error
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from urllib3.exceptions import HTTPError

from app.web import pages, pictures
from observe import Observer
from schemas.settings import Settings
from schemas.windows import from_ms
from warehouse.client import Warehouse

log = structlog.get_logger()

WEEKS = 8
"""How far back a model's page looks unless asked."""

_HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class _Guarded:
    """Adds the security headers to every answer, errors too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    *((name.encode(), value.encode()) for name, value in _HEADERS.items()),
                ]
            await send(message)

        await self._app(scope, receive, guarded)


class _Timed:
    """Tells how long each answer took."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()

        async def timed(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                self._observer.request(message["status"], time.monotonic() - began)

        await self._app(scope, receive, timed)


def create_app(
    warehouse: Warehouse, *, hosts: tuple[str, ...], now: Callable[[], datetime], observer: Observer | None = None
) -> Starlette:
    """The application.

    Args:
        warehouse: asked for every page; it should give up after a few seconds, a person is waiting.
        hosts: names (without port) that it answers to.
        now: the clock, for "as of".
        observer: told how long pages take.
    """
    templates = Environment(
        loader=PackageLoader("app.web"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["instant"] = _instant
    templates.globals["words"] = pages.WORDS

    def page(name: str, status: int = 200, **content: Any) -> HTMLResponse:
        return HTMLResponse(templates.get_template(name).render(as_of=now(), **content), status)

    # Starlette runs plain functions in threads: a slow query holds nobody else up.
    def index(_: Request) -> Response:
        standings = pages.open_incidents(warehouse)
        return page("index.html.j2", models=pages.fleet(warehouse, standings), open=standings)

    def model(request: Request) -> Response:
        found = _model(warehouse, request)
        return page(
            "model.html.j2",
            page=found,
            performance=pictures.performance_words(found),
            features=pictures.features_words(found),
        )

    def picture(draw: Callable[[pages.ModelPage], str]) -> Callable[[Request], Response]:
        def drawn(request: Request) -> Response:
            return Response(draw(_model(warehouse, request)), media_type="image/svg+xml")

        return drawn

    def incident(request: Request) -> Response:
        found = pages.incident(warehouse, request.path_params["id"])
        if found is None:
            raise HTTPException(404, f"There is no incident {request.path_params['id']!r}.")
        return page("incident.html.j2", standing=found)

    def style(_: Request) -> Response:
        return Response(files("app.web").joinpath("style.css").read_text(encoding="utf-8"), media_type="text/css")

    def health(_: Request) -> Response:
        warehouse.rows("SELECT 1")
        return PlainTextResponse("ok\n")

    def away(_: Request, error: Exception) -> Response:
        log.warning("web.clickhouse_away", error=str(error)[:300])
        text = "ClickHouse does not answer, so there is nothing to show. Nothing is lost: counting goes on from Kafka."
        return page("problem.html.j2", 503, title="ClickHouse is away", text=text)

    def missing(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        text = error.detail if isinstance(error, HTTPException) else ""
        return page("problem.html.j2", status, title="Not here" if status == 404 else "That did not work", text=text)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/models/{namespace}/{model}", model),
            Route("/models/{namespace}/{model}/performance.svg", picture(pictures.performance)),
            Route("/models/{namespace}/{model}/features.svg", picture(pictures.features)),
            Route("/incidents/{id}", incident),
            Route("/style.css", style),
            Route("/health", health),
        ],
        middleware=[
            Middleware(_Timed, observer or Observer()),
            Middleware(_Guarded),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
        ],
        exception_handlers={HTTPException: missing, Error: away, HTTPError: away, OSError: away},
    )


def _model(warehouse: Warehouse, request: Request) -> pages.ModelPage:
    namespace, name = request.path_params["namespace"], request.path_params["model"]
    given = request.query_params.get("weeks", str(WEEKS))
    if not (given.isdecimal() and 1 <= int(given) <= 520):
        raise HTTPException(400, f"weeks is {given!r}; it must be a whole number from 1 to 520.")
    found = pages.model_page(warehouse, namespace, name, int(given))
    if found is None:
        raise HTTPException(404, f"No model {name!r} in namespace {namespace!r} has sent anything yet.")
    return found


def _instant(at: int | datetime) -> str:
    """A time for a reader; milliseconds or a datetime, both UTC."""
    when = from_ms(at) if isinstance(at, int) else at
    return f"{when.astimezone(UTC):%-d %b %Y, %H:%M} UTC"


_LEAVE_SECONDS = 5
"""That pages under way get when the process is told to stop."""


def run(settings: Settings, warehouse: Warehouse, *, observer: Observer) -> None:
    """Serve until SIGTERM or SIGINT."""
    app = create_app(warehouse, hosts=settings.web_hosts, now=lambda: datetime.now(UTC), observer=observer)

    async def turn() -> None:
        observer.turn()

    log.info("web.serving", host=settings.web_host, port=settings.web_port)
    config = uvicorn.Config(
        app,
        host=settings.web_host,
        port=settings.web_port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LEAVE_SECONDS,
        callback_notify=turn,
        timeout_notify=1,
    )
    uvicorn.Server(config).run()
