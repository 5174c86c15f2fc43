"""The HTTP interface: jobs, their events and files, the page and its documentation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files as resources
from typing import Annotated, Any

import starlette.status as status
from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

import xbind
from xbind.batch.jobs import BatchError
from xbind.config.presets import PRESETS
from xbind.config.serve import MAX_STREAMS, ServeConfig
from xbind.errors import XBindError
from xbind.files import DiskError
from xbind.server.errors import NoSuchFile, ServerError, TooMany
from xbind.server.events import job_events
from xbind.server.files import job_files
from xbind.server.forms import Prompt
from xbind.server.guards import COOKIE, Guards, is_token
from xbind.server.modalities import modalities_of
from xbind.server.quota import Quota
from xbind.server.service import Service
from xbind.server.submission import check_preset, remove_incoming, submit
from xbind.server.views import (
    Again,
    FilesView,
    InfoView,
    JobsView,
    JobView,
    Refusal,
    file_view,
    job_view,
)

SEALED = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""Content Security Policy of downloads: what a run or a user wrote never acts as this server."""
REPORT = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; media-src data:; connect-src data: blob:; "
    "base-uri 'none'; form-action 'none'; sandbox allow-scripts allow-downloads"
)
"""That of `report.html`, which has a stricter one of its own, in an origin of its own."""
_STATIC = {
    "": ("server/index.html", "text/html; charset=utf-8"),
    "docs": ("server/api.html", "text/html; charset=utf-8"),
    "static/server.css": ("server/server.css", "text/css; charset=utf-8"),
    "static/server.js": ("server/server.js", "text/javascript; charset=utf-8"),
    "static/api.js": ("server/api.js", "text/javascript; charset=utf-8"),
    "static/model-viewer.js": ("vendor/model-viewer.min.js", "text/javascript; charset=utf-8"),
}
"""Path → file in `xbind.web`, and its media type."""
_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Refusal} for code in (401, 404, 409, 413, 415, 422, 429, 507)
}


class Token(BaseModel):
    """What a page logs in with."""

    token: str


def make_app(service: Service, token: str | None) -> FastAPI:
    """The application; it starts and closes `service` with itself.

    Args:
        service: jobs and executor.
        token: that requests must bring; None asks for none.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(remove_incoming, service)
        service.start()
        try:
            yield
        finally:
            await run_in_threadpool(service.close)

    app = FastAPI(
        title="xbind", version=xbind.__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        summary="A prompt of any modality to a textured 3D mesh.",
    )  # fmt: skip
    app.add_middleware(Guards, settings=service.settings, token=token)
    _add_errors(app)
    _add_pages(app)
    _add_login(app, token)
    _add_jobs(app, service, Quota(service))
    _add_files(app, service)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(XBindError)
    async def refuse(_: Request, error: XBindError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, _status_of(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        lines = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors()]
        return JSONResponse({"error": "\n".join(lines)}, 422)

    @app.exception_handler(HTTPException)
    async def failed(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


def _status_of(error: XBindError) -> int:
    match error:
        case ServerError():
            return error.status
        case BatchError():
            return status.HTTP_409_CONFLICT
        case DiskError():
            return status.HTTP_507_INSUFFICIENT_STORAGE
        case _:
            return 422


def _add_pages(app: FastAPI) -> None:
    def add(path: str, name: str, media_type: str) -> None:
        content = (resources("xbind.web") / name).read_bytes()

        @app.get(f"/{path}", include_in_schema=False)
        async def page() -> Response:
            return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    for path, (name, media_type) in _STATIC.items():
        add(path, name, media_type)


def _add_login(app: FastAPI, token: str | None) -> None:
    @app.post("/api/login", status_code=204, include_in_schema=False)
    async def login(given: Token, request: Request, response: Response) -> None:
        """Keep the token in a cookie that scripts cannot read."""
        if token is None or not is_token(given.token, token):
            raise HTTPException(401, "That is not the token of this server.")
        response.set_cookie(
            COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https"
        )


def _add_jobs(app: FastAPI, service: Service, quota: Quota) -> None:
    streams = _Streams()

    def view(id: str) -> JobView:
        return job_view(service, service.moment(service.get(id)))

    @app.get("/api/info")
    def info() -> InfoView:
        """The server: its bundle, presets and limits."""
        return _info(service.settings, quota.used(), service.count("queued"))

    @app.post("/api/jobs", status_code=201, responses=_REFUSALS)
    def submit_job(form: Prompt, response: Response) -> JobView:
        """Submit a prompt of one modality or several. The same job is not made twice."""
        quota.check()
        record = submit(service, form.values, form.files)
        response.headers["location"] = f"/api/jobs/{record.id}"
        return view(record.id)

    @app.get("/api/jobs")
    def list_jobs(limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> JobsView:
        """The latest jobs, the latest first."""
        records = sorted(service.queue.records(), key=lambda record: -record.submitted)[:limit]
        return JobsView(jobs=[job_view(service, service.moment(record)) for record in records])

    @app.get("/api/jobs/{id}", responses=_REFUSALS)
    def job(id: str) -> JobView:
        """A job: its state, and what its prompt was understood as."""
        return view(id)

    @app.post("/api/jobs/{id}/cancel", responses=_REFUSALS)
    def cancel(id: str) -> JobView:
        """End a job that waits or runs. What is there stays, and `resume` goes on from it."""
        service.cancel(id)
        return view(id)

    @app.post("/api/jobs/{id}/resume", responses=_REFUSALS)
    def resume(id: str) -> JobView:
        """Accept the reference view, or go on with a job that failed or was cancelled."""
        quota.check(0)
        service.resume(id)
        return view(id)

    @app.post("/api/jobs/{id}/again", status_code=201, responses=_REFUSALS)
    def again(id: str, changes: Again) -> JobView:
        """Submit the prompt of a job with another seed: another reference view."""
        quota.check()
        if changes.preset is not None:
            check_preset(changes.preset)
        return view(service.again(id, **changes.model_dump()).id)

    @app.delete("/api/jobs/{id}", status_code=204, responses=_REFUSALS)
    def delete(id: str) -> None:
        """Remove a job with its files. One that runs has to be cancelled first."""
        service.delete(id)
        quota.forget()

    @app.get("/api/jobs/{id}/events", response_class=StreamingResponse, responses=_REFUSALS)
    async def events(id: str, last_event_id: Annotated[int, Header(ge=0)] = 0) -> StreamingResponse:
        """Server-sent events: `job`, `steps`, `reset`, `preview`, and `end`."""
        service.get(id)
        stream = streams.limited(job_events(service, id, last_event_id))
        return StreamingResponse(stream, media_type="text/event-stream")


def _add_files(app: FastAPI, service: Service) -> None:
    @app.get("/api/jobs/{id}/files", responses=_REFUSALS)
    def list_files(id: str) -> FilesView:
        """Files of a job that can be downloaded."""
        found = job_files(service, service.get(id)).values()
        return FilesView(files=[file_view(file) for file in found])

    @app.get("/api/jobs/{id}/files/{name:path}", response_class=FileResponse, responses=_REFUSALS)
    def read_file(
        id: str, name: str, download: Annotated[bool, Query(description="Save it.")] = False
    ) -> FileResponse:
        """A file of a job; ranges are supported."""
        record = service.get(id)
        file = job_files(service, record).get(name)
        if file is None:
            raise NoSuchFile(
                f"Job {record.id} has no file {name[:64]!r}.\n"
                f"GET /api/jobs/{record.id}/files lists them."
            )
        policy = REPORT if file.path.suffix == ".html" else SEALED
        saved = f"{record.job.name}-{file.path.name}" if download else None
        return FileResponse(
            file.path, media_type=file.media_type, filename=saved,
            headers={"content-security-policy": policy, "cache-control": "no-cache"},
        )  # fmt: skip


def _info(settings: ServeConfig, used: int, waiting: int) -> InfoView:
    return InfoView(
        version=xbind.__version__, bundle=settings.bundle, presets=list(PRESETS),
        modalities=modalities_of(settings.bundle), upload_bytes=settings.upload_bytes,
        quota_bytes=settings.quota_bytes, used_bytes=used, waiting=waiting,
    )  # fmt: skip


class _Streams:
    """Counts the streams that are open."""

    def __init__(self) -> None:
        self._open = 0

    def limited(self, stream: AsyncIterator[str]) -> AsyncIterator[str]:
        """The same stream, counted while it is open.

        Raises:
            TooMany: as many are open as may be.
        """
        if self._open >= MAX_STREAMS:
            raise TooMany(f"{MAX_STREAMS} streams of events are open, and no more may.")
        self._open += 1

        async def counted() -> AsyncIterator[str]:
            try:
                async for event in stream:
                    yield event
            finally:
                self._open -= 1

        return counted()
