"""ClickHouse's HTTP interface over the embedded engine: queries, inserts, settings, parameters, sessions and errors."""

import asyncio
import json
import logging
import sys
import uuid
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import lz4.frame  # type: ignore[import-untyped]
from aiohttp import web

from compose import analyst
from compose.engine import Engine, QueryError, Request

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LOG = logging.getLogger("clickhouse")
_THREADS = 16

# Parameters of the URL that are the interface's own; everything else is a setting or a param_*.
_OWN = {
    "query", "database", "default_format", "session_id", "session_timeout", "session_check", "query_id", "quota_key",
    "user", "password", "role", "compress", "decompress", "buffer_size", "wait_end_of_query", "stacktrace",
    "client_protocol_version", "enable_http_compression", "http_headers_progress_interval_ms",
    "send_progress_in_http_headers", "http_zlib_compression_level",
}  # fmt: skip

_CONTENT_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNamesAndTypes": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8",
    "CSVWithNames": "text/csv; charset=UTF-8",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "Pretty": "text/plain; charset=UTF-8",
    "PrettyCompact": "text/plain; charset=UTF-8",
    "Vertical": "text/plain; charset=UTF-8",
}

# ClickHouse's code of an error -> HTTP status; 500 for all others.
_BAD_REQUEST = {6, 26, 27, 33, 36, 38, 41, 42, 43, 53, 62, 69, 70, 72, 108, 115, 117, 130, 131, 386, 456, 457}
_NOT_FOUND = {16, 46, 47, 60, 63, 73, 81}
_STATUS = {
    **dict.fromkeys(_BAD_REQUEST, 400), **dict.fromkeys(_NOT_FOUND, 404),
    48: 501, 159: 408, 164: 403, 291: 403, 497: 403, 516: 403,
}  # fmt: skip


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_UNPACKERS: dict[str, Callable[[], _Unpacker]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "deflate": zlib.decompressobj,
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": zstd.ZstdDecompressor,
}


class _Service:
    def __init__(self, engine: Engine, max_body: int, analyst_password: str) -> None:
        self._engine = engine
        self._analyst_password = analyst_password
        self._max_body = max_body
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="query")

    async def ping(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def query(self, http: web.Request) -> web.Response:
        """Answer ``/``: the statement is the parameter ``query``, then the body."""
        query_id = http.query.get("query_id") or str(uuid.uuid4())
        headers = {
            "X-ClickHouse-Server-Display-Name": "driftline-embedded",
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
        }
        try:
            user, password = analyst.credentials(http.headers, http.query)
            analyst.authenticate(user, password, self._analyst_password)
            analyses = user == analyst.NAME
            request = await self._request(http, analyses=analyses)
            if not request.text.strip():
                if http.method == "GET":
                    return web.Response(text="Ok.\n", headers=headers)
                # A client that lost its body while repeating an insert must not take this for an acknowledgement.
                raise QueryError("Code: 62. DB::Exception: Syntax error: Empty query. (SYNTAX_ERROR)", 62)
            loop = asyncio.get_running_loop()
            if analyses:
                await loop.run_in_executor(self._threads, analyst.check, self._engine, request.text)
            answer = await loop.run_in_executor(self._threads, self._engine.run, request)
        except QueryError as error:
            headers["X-ClickHouse-Exception-Code"] = str(error.code)
            return web.Response(text=f"{error}\n", status=_STATUS.get(error.code, 500), headers=headers)
        headers["X-ClickHouse-Summary"] = json.dumps(answer.summary, separators=(",", ":"))
        headers["X-ClickHouse-Format"] = answer.format
        headers["Content-Type"] = _CONTENT_TYPES.get(answer.format, "application/octet-stream")
        return web.Response(body=answer.body, headers=headers)

    async def _request(self, http: web.Request, *, analyses: bool) -> Request:
        _refuse_strangers(http)
        if "1" in (http.query.get("compress"), http.query.get("decompress")):
            raise _refused(501, "ClickHouse's own compression is not supported here: use Content-Encoding instead")
        form: dict[str, str] = {}
        if http.content_type == "multipart/form-data":
            form, body = await self._form(http), b""
        else:
            body = await self._body(http)
        head = http.query.get("query", "") or form.pop("query", "")
        settings = {name: value for name, value in http.query.items() if name not in _OWN} | form
        if http.method == "GET":
            settings["readonly"] = "2"  # as in ClickHouse: a link must not change anything
        session = http.query.get("session_id")
        if analyses:
            settings = analyst.settings(settings)
            session = None  # nothing to remember: no temporary tables, no SET
        return Request(
            text=head.encode() + b"\n" + body if head else body,
            database=http.query.get("database") or http.headers.get("X-ClickHouse-Database"),
            settings=settings,
            default_format=http.query.get("default_format")
            or http.headers.get("X-ClickHouse-Format")
            or "TabSeparated",
            session=session,
            session_seconds=float(http.query.get("session_timeout", "60")),
        )

    async def _form(self, http: web.Request) -> dict[str, str]:
        """Fields of a form: the statement and its parameters, as clients send what is too long for a URL."""
        try:
            fields = await http.post()
        except web.HTTPRequestEntityTooLarge:
            raise _refused(413, self._too_large()) from None
        form = {name: value for name, value in fields.items() if isinstance(value, str)}
        known = {name for name in form if name == "query" or name.startswith("param_")}
        if strange := [name for name in fields if name not in known]:
            raise _refused(501, f"Field {strange[0]!r} of a form: only query and param_* are supported here")
        return form

    def _too_large(self) -> str:
        return (
            f"The request is larger than {self._max_body // 2**20} MB. Insert fewer rows at a time "
            "(10,000 to 100,000), or start the server with a larger --max-body-mb"
        )

    async def _body(self, http: web.Request) -> bytes:
        too_large = self._too_large()
        try:
            packed = await http.read()
        except web.HTTPRequestEntityTooLarge:
            raise _refused(413, too_large) from None
        encoding = http.headers.get("Content-Encoding", "identity").lower()
        if encoding in ("", "identity") or not packed:
            return packed
        if encoding not in _UNPACKERS:
            raise _refused(415, f"Content-Encoding {encoding!r} is not supported; valid: {', '.join(_UNPACKERS)}")
        try:
            body = _unpacked(packed, encoding, self._max_body + 1)
        except (zlib.error, zstd.ZstdError, RuntimeError, EOFError) as error:
            raise _refused(400, f"The body is not valid {encoding}: {error}") from None
        if len(body) > self._max_body:
            raise _refused(413, too_large)
        return body


def _unpacked(packed: bytes, encoding: str, limit: int) -> bytes:
    """Unpack all frames of a body, but no more than ``limit`` bytes: a few KB can unpack to many GB."""
    parts: list[bytes] = []
    while packed and limit > 0:
        unpacker = _UNPACKERS[encoding]()
        part = unpacker.decompress(packed, limit)
        parts.append(part)
        limit -= len(part)
        if limit > 0 and not unpacker.eof:
            raise EOFError("it ends in the middle")
        packed = unpacker.unused_data or b""
    return b"".join(parts)


def _refused(status: int, why: str) -> web.HTTPException:
    kinds: dict[int, type[web.HTTPException]] = {
        400: web.HTTPBadRequest, 403: web.HTTPForbidden, 415: web.HTTPUnsupportedMediaType, 501: web.HTTPNotImplemented,
    }  # fmt: skip
    if status == 413:
        return web.HTTPRequestEntityTooLarge(max_size=0, actual_size=0, text=f"{why}.\n")
    return kinds[status](text=f"{why}.\n")


def _refuse_strangers(http: web.Request) -> None:
    """Refuse what a web page elsewhere makes a browser on this machine send: there is no password to stop it."""
    loopback = {"127.0.0.1", "localhost", "[::1]"}
    host = http.host.rsplit(":", 1)[0]
    origin = http.headers.get("Origin", "").split("://")[-1].rsplit(":", 1)[0]
    if host not in loopback or (origin and origin not in loopback):
        raise _refused(403, "This server answers programs on its own machine only, by the name 127.0.0.1 or localhost")


def serve(path: Path, *, port: int, max_body: int, analyst_password: str = "") -> None:
    """Serve the data in ``path`` on 127.0.0.1:``port`` until SIGTERM; refuse bodies above ``max_body`` bytes.

    With ``analyst_password`` there is a user ``analyst``, who can only read.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    path.mkdir(parents=True, exist_ok=True)
    engine = Engine(path)
    service = _Service(engine, max_body, analyst_password)
    app = web.Application(client_max_size=max_body)
    app.router.add_route("GET", "/ping", service.ping)
    app.router.add_route("GET", "/", service.query)
    app.router.add_route("POST", "/", service.query)
    _LOG.info("ClickHouse %s serves %s on 127.0.0.1:%d", engine.version, path, port)
    try:
        web.run_app(
            app,
            host="127.0.0.1",
            port=port,
            print=None,
            access_log=None,
            shutdown_timeout=5,
            auto_decompress=False,  # bounded, and lz4 too: see _body
            max_line_size=2**20,  # parameters travel in the URL
            max_field_size=2**20,
        )
    finally:
        engine.close()
        _LOG.info("stopped")
